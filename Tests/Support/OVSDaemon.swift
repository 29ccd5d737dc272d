import Linux

/// One daemon of Open vSwitch or OVN, started and ended as often as a test wants.
final class OVSDaemon: Sendable {
  private let program: String
  private let arguments: [String]
  private let name: String
  private let directory: TemporaryDirectory
  private let network: TestNamespace?
  private let running = Locked<RunningProcess?>(nil)

  /// Describes a daemon; `start` starts it.
  ///
  /// - Parameters:
  ///   - program: its path in the tree.
  ///   - arguments: what is its own; where its log and its process id go is added.
  ///   - name: how its files in the directory begin.
  ///   - directory: where they are.
  ///   - network: the namespace that it runs in; nil for this process's.
  init(
    _ program: String, _ arguments: [String], name: String, directory: TemporaryDirectory,
    in network: TestNamespace?
  ) {
    self.program = program
    self.arguments = arguments
    self.name = name
    self.directory = directory
    self.network = network
  }

  /// The running process, nil if there is none.
  var process: RunningProcess? { running.value }

  /// What it has logged.
  var log: String {
    String(decoding: (try? Files.read(directory("\(name).log"))) ?? [], as: UTF8.self)
  }

  /// Starts it; it may not be ready yet.
  func start() async throws {
    let command =
      [try OVSTree.file(program)] + arguments + [
        "--pidfile=\(directory("\(name).pid"))", "--log-file=\(directory("\(name).log"))",
        "-vconsole:off",
      ]
    let environment = try OVSTree.environment(directory.path)
    let (log, network) = (directory("\(name).out"), network)
    let process = try await onThread {
      try RunningProcess(command, environment: environment, log: log, in: network)
    }
    running.withLock { $0 = process }
  }

  /// Waits until it works.
  ///
  /// - Throws: its log, if it has ended or does not work in time.
  func waitUntil(_ works: @escaping @Sendable () -> Bool) async throws {
    let process = running.value
    let isReady = try await eventually(within: 15_000) { process?.status != nil || works() }
    guard isReady, process?.status == nil else {
      let output = (try? Files.read(directory("\(name).out"))) ?? []
      throw TestError("\(program): \(log)\(String(decoding: output, as: UTF8.self))")
    }
  }

  /// Ends it with a signal and waits until it has ended.
  func end(_ signal: Signal) async throws {
    guard let process = running.value else { return }
    process.signal(signal)
    process.signal(.resume)
    guard try await process.ended() != nil else { throw TestError("\(program) does not end") }
    running.withLock { $0 = nil }
  }

  /// Lets it stand still.
  func pause() { running.value?.signal(.stop) }

  /// Lets it go on.
  func resume() { running.value?.signal(.resume) }
}

/// Running the tools of the tree.
enum OVSTool {
  /// Runs a tool.
  ///
  /// - Returns: what it printed, without the last newline.
  /// - Throws: what it said if it failed.
  static func run(
    _ name: String, _ words: [String], directory: TemporaryDirectory, in network: TestNamespace
  ) async throws -> String {
    let result = try await network.run(
      [OVSTree.file("usr/bin/\(name)")] + words,
      environment: OVSTree.environment(directory.path))
    guard result.succeeded else { throw TestError("\(name) \(words): \(result)") }
    return result.text.hasSuffix("\n") ? String(result.text.dropLast()) : result.text
  }
}
