package import CNI
import DaemonAPI
import JSON

/// What the shim itself reads of the network configuration on stdin.
///
/// Counterpart of `ShimNetConf` in Multus' server api. All other keys are the daemon's and
/// pass through unread.
package struct ShimConfiguration: Equatable, Sendable {
  /// `cniVersion` as it stands there; `0.1.0` if it is missing.
  package var cniVersion = CNIVersion.v010.description
  /// `name`, the network's.
  package var name = ""
  /// `daemonSocketDir`: the directory of the daemon's socket.
  package var daemonSocketDirectory = defaultSocketDirectory
  /// `daemonTimeout`: seconds for the whole call, waiting for the daemon included.
  package var daemonTimeout = 100
  /// `unreachableTimeout`: seconds of them that ADD and UPDATE wait for a daemon that is not there.
  ///
  /// Runtimes hold a lock meanwhile, and a node whose calls wait longer becomes NotReady.
  package var unreachableTimeout = 15
  /// `logFile`: where log lines are appended; nil for nowhere.
  package var logFile: String?
  /// `logLevel`.
  package var logLevel = ShimLog.Level.warning
  /// `logToStderr`.
  package var logToStandardError = true

  package init() {}

  /// Reads a configuration as the CNI skeleton does.
  ///
  /// - Parameters:
  ///   - bytes: stdin.
  ///   - command: the verb; what is wrong with the shim's own keys does not stop a DEL.
  /// - Throws: code 6 for what is no JSON object or has a `cniVersion` or `name` of another type,
  ///   code 7 for a name that is missing or not valid, and for bad values of the shim's own keys.
  ///   The error never repeats a value that is right.
  package init(parsing bytes: [UInt8], for command: CNICommand) throws(CNIError) {
    self.init()
    let reader = try MemberReader(
      parsing: bytes, .configuration, keys: NetworkConfiguration.keys)
    do throws(CNIError) {
      let version = try reader.string("cniVersion") ?? ""
      if !version.isEmpty { cniVersion = version }
    } catch {
      if command != .delete { throw error }
    }
    name = try reader.string("name") ?? ""
    try CNIValidation.networkName(name)
    do throws(CNIError) {
      try readOwnKeys(
        ObjectReader(reader.object, OwnKeys(), keys: KeyTable(NetworkConfiguration.callKeys)))
    } catch {
      if command != .delete { throw error }
    }
  }

  private mutating func readOwnKeys(_ reader: ObjectReader<OwnKeys>) throws(CNIError) {
    func text(_ key: String) throws(CNIError) -> String? {
      guard let text = try reader.string(key), !text.utf8.isEmpty else { return nil }
      return text
    }
    if let directory = try text("daemonSocketDir") { daemonSocketDirectory = directory }
    if let file = try text("logFile") { logFile = file }
    if let level = try text("logLevel") { logLevel = ShimLog.Level(name: level) }
    if let flag = try reader.flag("logToStderr") { logToStandardError = flag }
    if let seconds = try Self.seconds(reader, "daemonTimeout") { daemonTimeout = seconds }
    if let seconds = try Self.seconds(reader, "unreachableTimeout") { unreachableTimeout = seconds }
  }

  private static func seconds(
    _ reader: ObjectReader<OwnKeys>, _ key: String
  ) throws(CNIError) -> Int? {
    guard let member = reader.member(key) else { return nil }
    guard let seconds = member.value.int, (1...86_400).contains(seconds) else {
      throw member.mismatch("a whole number of seconds from 1 to 86400")
    }
    return seconds
  }

  /// For how many seconds a verb waits for a daemon that is not there.
  ///
  /// A runtime checks pod after pod before it listens, and asks for the status twice a second.
  func patience(for command: CNICommand) -> Int {
    switch command {
    case .check, .garbageCollect: 2
    case .status: 5
    default: unreachableTimeout
    }
  }
}

/// How a bad value of the shim's own keys is reported: code 7, with what it must be.
private struct OwnKeys: MemberDialect {
  var ignoresCase: Bool { true }

  func failure(_ fault: MemberFault) -> CNIError {
    if case .type(_, let expected) = fault.reason {
      return CNIError(.invalidConfiguration, "\(fault.path): must be \(expected)")
    }
    return CNIError(.invalidConfiguration, fault.description)
  }
}
