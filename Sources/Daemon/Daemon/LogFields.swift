import CNI
import DaemonAPI
import HTTP
import PluginKit
import Records

/// What a log line says of the call that it is about.
typealias LogFields = [(String, any LogValue)]

extension PodRequest {
  /// Whose call it is.
  var logFields: LogFields {
    [
      ("command", command.rawValue), ("pod", title), ("container", sandboxID), ("ifname", ifName),
      ("network", configuration.name), ("trace", Trace.id(environment)),
    ]
  }
}

extension PluginHost {
  /// The same for a call: what its plugin logs says whose call it is.
  func logging(_ log: Log, _ request: PodRequest) -> PluginHost {
    logging { level, text in log.write(level, text, request.logFields) }
  }
}

extension AttachmentRecord {
  /// Which attachment it is, and the trace of its ADD.
  var logFields: LogFields {
    [("attachment", "\(key)"), ("trace", Trace.id(environment))]
  }
}

extension CNIResult {
  /// What an ADD has made: addresses, and the pod's link with its other end on the node.
  func logFields(_ ifName: String) -> LogFields {
    let own = interfaces.first { !$0.sandbox.isEmpty && $0.name == ifName }
    let near = interfaces.filter { $0.sandbox.isEmpty }.map(\.name)
    return [
      ("address", ips.map { "\($0.address)" }.joined(separator: ",")), ("mac", own?.mac ?? ""),
      ("host_link", near.joined(separator: ",")),
    ]
  }
}

extension HTTPRequest {
  /// Whose call a refused request would have been, as far as it can be read.
  var logFields: LogFields {
    let headers = RequestHeaders(headers)
    guard let env = (try? Request(parsing: body))?.env else {
      return [("request", headers.requestID ?? "")]
    }
    let arguments = CNIArguments(readable: env["CNI_ARGS"])
    let pod = [arguments["K8S_POD_NAMESPACE"], arguments["K8S_POD_NAME"]].compactMap { $0 }
    let words: [(String, String?)] = [
      ("command", env["CNI_COMMAND"]), ("pod", pod.joined(separator: "/")),
      ("container", env["CNI_CONTAINERID"]), ("ifname", env["CNI_IFNAME"]),
      ("request", headers.requestID), ("trace", Trace.id(env)),
    ]
    return words.map { ($0.0, String(($0.1 ?? "").prefix(Self.longestWord))) }
  }

  /// Nothing was checked yet: a line has no room for a megabyte.
  private static let longestWord = 128
}

/// The trace that a call belongs to, by the W3C's `traceparent`.
enum Trace {
  /// The trace's id; empty without a valid one.
  static func id(_ environment: [String: String]) -> String {
    let parts = environment["TRACEPARENT", default: ""].utf8
      .split(separator: 0x2D, omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].count == 2, parts[1].count == 32, parts[2].count == 16,
      parts[1].allSatisfy(isHexadecimal), parts[1].contains(where: { $0 != 0x30 })
    else { return "" }
    return String(Substring(parts[1]))
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
  }
}
