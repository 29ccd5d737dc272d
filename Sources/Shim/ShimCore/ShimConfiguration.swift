package import CNI
import DaemonAPI
import JSON

/// What the shim itself reads of the network configuration on stdin.
///
/// Counterpart of `ShimNetConf` in Multus' server api. All other keys are the daemon's and pass through unread.
package struct ShimConfiguration: Equatable, Sendable {
  /// `cniVersion` as it stands there; `0.1.0` if it is missing.
  package var cniVersion = CNIVersion.v010.description
  /// `name`, the network's.
  package var name = ""
  /// `daemonSocketDir`: the directory of the daemon's socket.
  package var daemonSocketDirectory = defaultSocketDirectory
  /// `daemonTimeout`: seconds for the whole call, waiting for the daemon included.
  package var daemonTimeout = 100
  /// `logFile`: where log lines are appended; nil for nowhere.
  package var logFile: String?
  /// `logLevel`.
  package var logLevel = ShimLog.Level.warning
  /// `logToStderr`.
  package var logToStandardError = true

  /// The defaults.
  package init() {}

  /// Reads a configuration as the CNI skeleton does.
  ///
  /// - Parameters:
  ///   - bytes: stdin.
  ///   - command: the verb; what is wrong with the shim's own keys does not stop a DEL.
  /// - Throws: code 6 for what is no JSON object or has a `cniVersion` or `name` of another type, code 7 for a name
  ///   that is missing or not valid, and for bad values of the shim's own keys. Never with a value that is right.
  package init(parsing bytes: [UInt8], for command: CNICommand) throws(CNIError) {
    self.init()
    let failure = "error unmarshall network config: "
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(bytes)
    } catch {
      throw CNIError(.decodingFailure, failure + error.description)
    }
    guard let object = value.object else {
      throw CNIError(.decodingFailure, "\(failure)\(value.kind) found where an object belongs")
    }
    let version = try Self.text(object, "cniVersion", failure) ?? ""
    if !version.isEmpty { cniVersion = version }
    name = try Self.text(object, "name", failure) ?? ""
    try CNIValidation.networkName(name)
    do throws(CNIError) {
      try readOwnKeys(object)
    } catch {
      if command != .delete { throw error }
    }
  }

  private static func text(
    _ object: JSONObject, _ key: String, _ failure: String
  ) throws(CNIError) -> String? {
    guard let value = object[key], !value.isNull else { return nil }
    if let text = value.string { return text }
    throw CNIError(.decodingFailure, "\(failure)\(key): \(value.kind) found where a string belongs")
  }

  private mutating func readOwnKeys(_ object: JSONObject) throws(CNIError) {
    if let directory = try ownText(object, "daemonSocketDir") { daemonSocketDirectory = directory }
    if let file = try ownText(object, "logFile") { logFile = file }
    if let level = try ownText(object, "logLevel") { logLevel = ShimLog.Level(name: level) }
    if let value = object["logToStderr"], !value.isNull {
      guard let flag = value.bool else { throw Self.invalid("logToStderr", "true or false") }
      logToStandardError = flag
    }
    if let value = object["daemonTimeout"], !value.isNull {
      guard let seconds = value.int, (1...86_400).contains(seconds) else {
        throw Self.invalid("daemonTimeout", "a whole number of seconds from 1 to 86400")
      }
      daemonTimeout = seconds
    }
  }

  private func ownText(_ object: JSONObject, _ key: String) throws(CNIError) -> String? {
    guard let value = object[key], !value.isNull else { return nil }
    guard let text = value.string else { throw Self.invalid(key, "a string") }
    return text.isEmpty ? nil : text
  }

  private static func invalid(_ key: String, _ wanted: String) -> CNIError {
    CNIError(.invalidConfiguration, "\(key): must be \(wanted)")
  }
}
