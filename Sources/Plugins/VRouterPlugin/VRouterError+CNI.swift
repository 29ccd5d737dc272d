package import CNI
import Linux
import PluginKit
package import VRouterAgent

/// What an exchange with the agent has come to: 11 while it is not ready or not there, 102 for
/// what it refuses.
extension VRouterError {
  /// Whether the agent cannot be asked now, which may pass.
  var isAbsence: Bool {
    switch reason {
    case .unreachable: true
    case .refused(let status, _): status >= 500
    default: false
    }
  }
}

extension VRouterError: CNIMappable {
  /// The error with the pod that the exchange was about.
  package func cniError(code: CNIErrorCode?, doing pod: String?) -> CNIError {
    let pod = pod ?? ""
    return switch reason {
    case .notReady(let reason):
      CNIError(
        .tryAgainLater, "the vRouter agent is not ready for pod \(pod): \(reason)",
        details: "the agent is asked again with the next ADD")
    case .unknownPod: CNIError(.tryAgainLater, description)
    case .unreachable(let reason, _):
      CNIError(.tryAgainLater, "the vRouter agent cannot be reached for pod \(pod): \(reason)")
    case .refused(let status, let reason):
      CNIError(
        .vRouterAgent, "the vRouter agent refuses pod \(pod): \(reason)",
        details: "status \(status)")
    case .cancelled: CNIError(.deadline, description)
    case .invalidName: CNIError(.invalidEnvironment, description)
    case .file(let cause): CNIError(cause, doing: "port files of pod \(pod): \(cause.errno)")
    case .failed(let cause): CNIError(cause)
    }
  }
}
