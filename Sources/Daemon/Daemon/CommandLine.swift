import Linux
import PluginKit

/// What the command line asks for.
package enum CommandLineAction: Equatable, Sendable {
  /// Serve with this configuration.
  case run(Configuration)
  /// Only say what is wrong with the configuration, and with those of networks.
  case checkConfiguration(ConfigurationCheck)
  /// Print this text and end.
  case print(String)
}

/// A command line that cannot be understood; one line that says what to do.
package struct UsageError: Error, Equatable, Sendable, CustomStringConvertible {
  package let description: String
  /// Whether it may be gone at the next start without anybody doing something.
  package let isPassing: Bool

  init(_ description: String, isPassing: Bool = false) {
    self.description = description
    self.isPassing = isPassing
  }
}

/// Reads cnid's command line: flags win over the configuration file.
package struct CommandLineReader {
  /// Read if no `--config` is given and it exists.
  package static let defaultFile = "/etc/cnid/cnid.json"

  private var file: String?
  private var socketDirectory: String?
  private var stateDirectory: String?
  private var logLevel: LogLevel?
  private var isCheck = false
  private var networks: [String] = []

  /// Reads the arguments after the program's name.
  ///
  /// - Parameters:
  ///   - arguments: the arguments.
  ///   - version: what `--version` prints.
  /// - Returns: what to do.
  /// - Throws: `UsageError`, also for a configuration file that is not good.
  package static func read(
    _ arguments: [String], version: String
  ) throws(UsageError) -> CommandLineAction {
    if arguments.contains("--help") || arguments.contains("-h") { return .print(help) }
    if arguments.contains("--version") { return .print("cnid \(version)\n") }
    var reader = CommandLineReader()
    try reader.take(arguments)
    return try reader.action()
  }

  /// Reads the configuration that arguments ask for, with the flags on top.
  ///
  /// - Parameter arguments: the arguments after the program's name, which `read` has understood.
  /// - Returns: the configuration.
  /// - Throws: `UsageError`, also for a configuration file that is not good.
  package static func configuration(_ arguments: [String]) throws(UsageError) -> Configuration {
    var reader = CommandLineReader()
    try reader.take(arguments)
    return try reader.merged()
  }

  private mutating func take(_ arguments: [String]) throws(UsageError) {
    var rest = arguments[...]
    while let flag = rest.popFirst() {
      if flag == "--check-config" {
        isCheck = true
        continue
      }
      var (name, value) = (flag, String?.none)
      if let equals = flag.utf8.firstIndex(of: 0x3D) {
        name = String(flag[..<equals])
        value = String(flag[flag.utf8.index(after: equals)...])
      }
      guard Self.flagsWithValue.contains(name) else {
        throw UsageError("unknown argument \(flag); cnid --help lists the flags")
      }
      guard let value = value ?? rest.popFirst(), !value.isEmpty else {
        throw UsageError("\(name) needs a value; cnid --help shows an example")
      }
      try set(name, value)
    }
  }

  private static let flagsWithValue = [
    "--config", "--socket-dir", "--state-dir", "--log-level", "--network",
  ]

  private mutating func set(_ name: String, _ value: String) throws(UsageError) {
    switch name {
    case "--config": file = value
    case "--network": networks.append(value)
    case "--socket-dir": socketDirectory = try Self.absolute(name, value)
    case "--state-dir": stateDirectory = try Self.absolute(name, value)
    default:
      guard let level = LogLevel(name: value) else {
        throw UsageError("--log-level must be one of error, warning, info, debug")
      }
      logLevel = level
    }
  }

  private static func absolute(_ name: String, _ value: String) throws(UsageError) -> String {
    guard value.utf8.first == 0x2F else { throw UsageError("\(name) must be an absolute path") }
    return value
  }

  private func action() throws(UsageError) -> CommandLineAction {
    if isCheck {
      return .checkConfiguration(
        ConfigurationCheck(
          file: file ?? Self.defaultFile, mayBeMissing: file == nil && !networks.isEmpty,
          networks: networks, socketDirectory: socketDirectory))
    }
    if !networks.isEmpty { throw UsageError("--network goes with --check-config") }
    return .run(try merged())
  }

  private func merged() throws(UsageError) -> Configuration {
    var configuration = try loaded()
    if let socketDirectory { configuration.socketDirectory = socketDirectory }
    if let stateDirectory { configuration.stateDirectory = stateDirectory }
    if let logLevel { configuration.logLevel = logLevel }
    return configuration
  }

  private func loaded() throws(UsageError) -> Configuration {
    let path = file ?? Self.defaultFile
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.read(path, limit: 1 << 20)
    } catch {
      if file == nil, error.errno == .noEntry { return Configuration() }
      throw UsageError("configuration: \(error)", isPassing: error.isTransient)
    }
    let (configuration, faults) = Configuration.read(bytes)
    guard faults.isEmpty else {
      throw UsageError("\(path): \(faults.map(\.description).joined(separator: "; "))")
    }
    return configuration
  }

  /// The keys of the file, a line each.
  private static var keys: String {
    Configuration.Key.allCases.map { key in
      let mark = key.isFixedAtStart ? "*" : " "
      let name = key.rawValue + String(repeating: " ", count: max(0, 15 - key.rawValue.utf8.count))
      return "  \(name) \(mark) \(key.description.summary)"
    }.joined(separator: "\n")
  }

  private static let help = """
    cnid - the daemon behind cni-shim: attaches containers to networks

    usage: cnid [flags]

      --config FILE      the configuration, JSON (default \(defaultFile) if it exists)
      --socket-dir DIR   the directory of cnid.sock (default /run/cnid)
      --state-dir DIR    the directory of the attachments' records (default /var/lib/cnid)
      --log-level LEVEL  error, warning, info or debug (default info)
      --check-config     say everything that is wrong with the configuration, and end
      --network FILE     with --check-config: a network's configuration or list too; repeatable
      --version          print the version, and end
      --help             print this text, and end

    Flags win over the file. Keys of the file, all optional (* = read at the start only):

    \(keys)

    examples:

      cnid --config /etc/cnid/cnid.json
      cnid --check-config --config ./cnid.json
      cnid --check-config --network /etc/cni/net.d/10-pods.conflist
      cnid --socket-dir /tmp/try/run --state-dir /tmp/try/state --log-level debug
      curl --unix-socket /run/cnid/cnid.sock http://cnid/readyz

    SIGTERM and SIGINT stop cnid: running calls finish first. At SIGHUP it reads its file again.

    """
}
