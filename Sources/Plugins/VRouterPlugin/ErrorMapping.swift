import CNI
import Linux
import PluginKit
import VRouterAgent

extension CNIError {
  /// What an exchange with the agent has come to: 11 while it is not ready or not there, 102 for what it refuses.
  init(_ error: VRouterError, pod: String) {
    let text = error.description
    switch error.reason {
    case .notReady(let reason):
      self.init(
        .tryAgainLater, "the vRouter agent is not ready for pod \(pod): \(reason)",
        details: "the agent is asked again with the next ADD")
    case .unreachable(let reason, _):
      self.init(.tryAgainLater, "the vRouter agent cannot be reached for pod \(pod): \(reason)")
    case .refused(let status, let reason):
      self.init(
        .vRouterAgent, "the vRouter agent refuses pod \(pod): \(reason)",
        details: "status \(status)")
    case .cancelled: self.init(.deadline, text)
    case .invalidName: self.init(.invalidEnvironment, text)
    case .file(let cause): self.init(cause, doing: "port files of pod \(pod): \(cause.errno)")
    case .failed(let cause): self.init(cause)
    }
  }
}

/// Runs a body that speaks with the agent, with its error as a CNI error.
func mapped<T: ~Copyable>(
  pod: String, _ body: () throws(VRouterError) -> T
) throws(CNIError) -> T {
  do throws(VRouterError) {
    return try body()
  } catch {
    throw CNIError(error, pod: pod)
  }
}
