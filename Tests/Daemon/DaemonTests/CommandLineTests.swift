import Daemon
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Command line")
struct CommandLineTests {
  private let directory: TemporaryDirectory
  private let file: String

  init() throws {
    directory = try TemporaryDirectory()
    file = directory("cnid.json")
    let text =
      #"{"socketDir":"/file/run","stateDir":"/file/state","logLevel":"error","maxQueued":7}"#
    try Files.write(file, Array(text.utf8), mode: [.write, .create])
  }

  /// The words of a line, with `FILE` standing for the configuration file.
  private func read(_ words: [String]) throws(UsageError) -> CommandLineAction {
    try CommandLineReader.read(
      words.map { $0 == "FILE" ? file : $0 == "--config=FILE" ? "--config=\(file)" : $0 },
      version: "1.2.3")
  }

  private func fault(_ words: [String]) -> String? {
    do throws(UsageError) {
      _ = try read(words)
      return nil
    } catch {
      return error.description
    }
  }

  private func configuration(_ words: [String]) throws -> Configuration {
    guard case .run(let configuration) = try read(words) else { throw TestError("not run") }
    return configuration
  }

  @Test("without flags cnid runs with the defaults, where there is no file of its own")
  func defaults() throws {
    try #require((try? Files.status(CommandLineReader.defaultFile)) == nil)
    #expect(try read([]) == .run(Configuration()))
  }

  @Test(
    "a file is read, in both forms of the flag",
    arguments: [["--config", "FILE"], ["--config=FILE"]])
  func file(words: [String]) throws {
    let configuration = try configuration(words)
    #expect(configuration.socketDirectory == "/file/run")
    #expect(configuration.maximumQueued == 7)
  }

  @Test(
    "flags win over the file, wherever they stand",
    arguments: [
      ["--config", "FILE", "--socket-dir", "/r", "--state-dir=/s", "--log-level", "debug"],
      ["--log-level=debug", "--state-dir", "/s", "--socket-dir=/r", "--config=FILE"],
    ])
  func flagsWin(words: [String]) throws {
    let configuration = try configuration(words)
    #expect(configuration.socketDirectory == "/r")
    #expect(configuration.stateDirectory == "/s")
    #expect(configuration.logLevel == .debug)
    #expect(configuration.maximumQueued == 7)
  }

  @Test("of a flag that is given twice the last counts; a value may hold =")
  func repeated() throws {
    let words = ["--socket-dir=/a", "--socket-dir", "/b=c"]
    #expect(try configuration(words).socketDirectory == "/b=c")
  }

  @Test("--check-config says which file is good")
  func check() throws {
    let check = CommandLineAction.checkConfiguration(ConfigurationCheck(file: file))
    #expect(try read(["--check-config", "--config", "FILE"]) == check)
    #expect(try read(["--config=FILE", "--check-config"]) == check)
  }

  @Test("--network names further files to check, and the daemon's own need not be there")
  func networks() throws {
    #expect(
      try read(["--check-config", "--network", "/a", "--network=/b"])
        == .checkConfiguration(
          ConfigurationCheck(
            file: CommandLineReader.defaultFile, mayBeMissing: true, networks: ["/a", "/b"])))
    #expect(fault(["--network", "/a"]) == "--network goes with --check-config")
  }

  @Test("--version and --help win over everything else")
  func print() throws {
    #expect(try read(["--version"]) == .print("cnid 1.2.3\n"))
    #expect(try read(["--nonsense", "--version"]) == .print("cnid 1.2.3\n"))
    for words in [["--help"], ["-h"], ["--config", "--help"], ["--version", "--help"]] {
      guard case .print(let help) = try read(words) else {
        Issue.record("no help for \(words)")
        return
      }
      #expect(help.hasPrefix("cnid - "))
    }
  }

  @Test("the help names every flag and every key of the file")
  func help() throws {
    guard case .print(let help) = try read(["--help"]) else {
      Issue.record("no help")
      return
    }
    for word in [
      "--config FILE", "--socket-dir DIR", "--state-dir DIR", "--log-level LEVEL", "--check-config",
      "--network FILE", "--version", "--help", "socketDir", "sockets", "stateDir", "defaultPlugin",
      "binDirs", "hostRoot", "dataDir", "allowedPaths", "maxConcurrent", "maxQueued",
      "requestTimeout", "orphanGrace", "healthAddress", "podCIDR", "logLevel", "logFormat",
      "logFile", "overrides", "plugins",
    ] { #expect(help.contains(word), "\(word)") }
    #expect(help.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }

  @Test(
    "a line that cannot be understood is one line that says what to do",
    arguments: [
      (["--nope"], "unknown argument --nope; cnid --help lists the flags"),
      (["serve"], "unknown argument serve; cnid --help lists the flags"),
      (["--check-config=yes"], "unknown argument --check-config=yes; cnid --help lists the flags"),
      (["-config", "FILE"], "unknown argument -config; cnid --help lists the flags"),
      ([""], "unknown argument ; cnid --help lists the flags"),
      (["--config"], "--config needs a value; cnid --help shows an example"),
      (["--config="], "--config needs a value; cnid --help shows an example"),
      (["--state-dir", ""], "--state-dir needs a value; cnid --help shows an example"),
      (["--socket-dir", "run"], "--socket-dir must be an absolute path"),
      (["--state-dir=./x"], "--state-dir must be an absolute path"),
      (["--log-level", "loud"], "--log-level must be one of error, warning, info, debug"),
    ])
  func faults(words: [String], text: String) {
    #expect(fault(words) == text)
  }

  @Test("a file that is named must be there, readable and good")
  func badFile() throws {
    #expect(fault(["--config", directory("none")])?.hasPrefix("configuration: open ") == true)
    #expect(fault(["--config", directory.path])?.hasPrefix("configuration: read ") == true)
    try Files.write(file, Array(#"{"maxQueued":"many"}"#.utf8), mode: [.write, .truncate])
    let text = "\(file): maxQueued: must be a whole number from 0 to 65536"
    #expect(fault(["--config", "FILE"]) == text)
    #expect(ConfigurationCheck(file: file).faults([]) == [text])
  }

  @Test("a start names all faults of the file at once")
  func allFaults() throws {
    let text = #"{"maxQueued":"many","maxConcurrent":0}"#
    try Files.write(file, Array(text.utf8), mode: [.write, .truncate])
    #expect(
      fault(["--config", "FILE"])
        == "\(file): maxQueued: must be a whole number from 0 to 65536; "
        + "maxConcurrent: must be a whole number from 1 to 256")
  }

  @Test("--check-config without a file is an error: there is nothing to check")
  func checkNothing() throws {
    try #require((try? Files.status(CommandLineReader.defaultFile)) == nil)
    guard case .checkConfiguration(let check) = try read(["--check-config"]) else {
      Issue.record("no check")
      return
    }
    #expect(check.faults([]).first?.contains(CommandLineReader.defaultFile) == true)
  }
}
