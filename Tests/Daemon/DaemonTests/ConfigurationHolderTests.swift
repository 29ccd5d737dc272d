import Addresses
import Daemon
import Foundation
import JSON
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Configuration: reload")
struct ConfigurationHolderTests {
  /// A change of each key.
  struct Edit: Sendable, CustomTestStringConvertible {
    let key: Configuration.Key
    let apply: @Sendable (inout Configuration) -> Void
    init(_ key: Configuration.Key, _ apply: @escaping @Sendable (inout Configuration) -> Void) {
      self.key = key
      self.apply = apply
    }
    var testDescription: String { key.rawValue }
  }

  static let edits: [Edit] = [
    Edit(.socketDir) { $0.socketDirectory = "/x" }, Edit(.sockets) { $0.sockets = ["/x"] },
    Edit(.stateDir) { $0.stateDirectory = "/x" }, Edit(.defaultPlugin) { $0.defaultPlugin = "x" },
    Edit(.binDirs) { $0.binDirectories = [] }, Edit(.hostRoot) { $0.hostRoot = "/x" },
    Edit(.dataDir) { $0.dataDirectory = "/x" },
    Edit(.allowedPaths) { $0.allowedPaths = ["/x"] },
    Edit(.networkDirs) { $0.networkDirectories = ["/x"] },
    Edit(.maxConcurrent) { $0.maximumConcurrent = 3 }, Edit(.maxQueued) { $0.maximumQueued = 3 },
    Edit(.requestTimeout) { $0.requestTimeout = 3 }, Edit(.orphanGrace) { $0.orphanGrace = 3 },
    Edit(.healthAddress) { $0.healthAddress = Configuration.SocketAddress("127.0.0.1:1") },
    Edit(.podCIDR) { $0.podCIDR = IPNetwork("10.0.0.0/24") },
    Edit(.logLevel) { $0.logLevel = .debug }, Edit(.logFormat) { $0.logFormat = .json },
    Edit(.logFile) { $0.logFile = "/x" },
    Edit(.overrides) { $0.overrides = JSONObject([("a", .null)]) },
    Edit(.plugins) { $0.plugins = ["a": JSONObject()] },
  ]

  @Test("there is a change of every key to try")
  func complete() {
    #expect(Self.edits.map(\.key) == Configuration.Key.allCases)
  }

  @Test("a key takes effect at once, or is named and keeps its value", arguments: edits)
  func oneKey(edit: Edit) {
    let holder = ConfigurationHolder(Configuration())
    var new = Configuration()
    edit.apply(&new)
    #expect(Configuration().difference(from: new) == [edit.key])
    let change = holder.replace(with: new)
    if edit.key.isFixedAtStart {
      #expect(change.effective == [])
      #expect(change.needingRestart == [edit.key])
      #expect(holder.current == Configuration())
    } else {
      #expect(change.effective == [edit.key])
      #expect(change.needingRestart == [])
      #expect(holder.current == new)
    }
  }

  @Test("what names open files and directories needs a restart, the rest does not")
  func fixed() {
    #expect(
      Configuration.Key.allCases.filter(\.isFixedAtStart) == [
        .socketDir, .sockets, .stateDir, .hostRoot, .dataDir, .healthAddress, .logFormat, .logFile,
      ])
  }

  @Test("keys that take effect do so beside others that need a restart")
  func mixed() {
    let holder = ConfigurationHolder(Configuration())
    var new = Configuration()
    for edit in Self.edits { edit.apply(&new) }
    let change = holder.replace(with: new)
    #expect(change.effective + change.needingRestart != [])
    #expect(holder.current.requestTimeout == 3)
    #expect(holder.current.socketDirectory == "/run/cnid")
    // Told again as long as file and daemon differ.
    let again = holder.replace(with: new)
    #expect(again.effective == [])
    #expect(again.needingRestart == change.needingRestart)
  }

  @Test("no difference is no change")
  func same() {
    let holder = ConfigurationHolder(Configuration())
    #expect(holder.replace(with: Configuration()) == ConfigurationHolder.Change())
  }
}

@Suite("Configuration: the file that is shipped")
struct ShippedConfigurationTests {
  private func shipped() throws -> [UInt8] {
    try Files.read("\(Program.packageDirectory)/config/cnid.json")
  }

  @Test("it has every key, in the order of the documentation")
  func keys() throws {
    let object = try #require(try JSONValue.parse(shipped()).object)
    #expect(object.members.map(\.key) == Configuration.Key.allCases.map(\.rawValue))
  }

  @Test("each value is the default, so a line can be taken out without effect")
  func values() throws {
    #expect(try Configuration(parsing: shipped()) == Configuration())
  }

  @Test("--check-config finds it good")
  func check() throws {
    let file = "\(Program.packageDirectory)/config/cnid.json"
    let action = try CommandLineReader.read(["--check-config", "--config", file], version: "")
    let check = ConfigurationCheck(file: file)
    #expect(action == .checkConfiguration(check))
    #expect(check.faults([]) == [])
  }

  @Test("--help has a line for each key, and marks those that need a restart")
  func helped() throws {
    guard case .print(let help) = try CommandLineReader.read(["--help"], version: "") else {
      Issue.record("no help")
      return
    }
    let lines = help.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    for key in Configuration.Key.allCases {
      let line = try #require(lines.first { $0.first == key.rawValue })
      #expect((line.dropFirst().first == "*") == key.isFixedAtStart)
    }
  }

  @Test("the documentation has a row for each key, with its default")
  func documented() throws {
    let shipped = try #require(try JSONValue.parse(shipped()).object)
    let page = String(
      decoding: try Files.read(
        "\(Program.packageDirectory)/Sources/Programs/cnid/cnid.docc/ConfiguringTheDaemon.md"),
      as: UTF8.self)
    for key in Configuration.Key.allCases {
      let value = try #require(shipped[key.rawValue])
      // Arrays are printed with a blank after each comma there.
      let json = String(decoding: value.bytes, as: UTF8.self)
        .replacingOccurrences(of: ",", with: ", ")
      let words = value.isNull ? "none" : value.number == nil ? "`\(value.string ?? json)`" : json
      #expect(page.contains("| `\(key.rawValue)` | \(words) | "))
    }
  }

  @Test(
    "null is no value where there is no default, and an error elsewhere",
    arguments: Configuration.Key.allCases)
  func null(key: Configuration.Key) throws {
    let text = Array("{\"\(key.rawValue)\":null}".utf8)
    if [.defaultPlugin, .hostRoot, .healthAddress, .podCIDR, .logFile].contains(key) {
      #expect(try Configuration(parsing: text) == Configuration())
    } else {
      #expect(throws: ConfigurationError.self) { try Configuration(parsing: text) }
    }
  }
}
