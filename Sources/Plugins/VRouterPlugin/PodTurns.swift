import CNI
import Linux
import PluginKit

/// Who works on which pod, by its name at the agent: calls, which the daemon keeps apart, and GC, which it does not.
final class PodTurns: Sendable {
  private struct State {
    var busy: [String: Int] = [:]
    var collected: Set<String> = []
  }

  private let state = Mutex(State())

  /// Begins to work on a pod; waits while GC does.
  ///
  /// - Throws: code 105.
  func begin(_ name: String, _ deadline: Deadline) throws(CNIError) {
    while !take(name) {
      try mapped { () throws(SystemError) in try deadline.check("wait for GC of pod", name) }
      Clock.pause(milliseconds: 5)
    }
  }

  private func take(_ name: String) -> Bool {
    state.withLock { state in
      if state.collected.contains(name) { return false }
      state.busy[name, default: 0] += 1
      return true
    }
  }

  /// The other half of `begin`.
  func end(_ name: String) {
    state.withLock { state in
      let left = state.busy[name, default: 1] - 1
      state.busy[name] = left > 0 ? left : nil
    }
  }

  /// Works on a pod for GC, unless a call does.
  func whileIdle(_ name: String, _ body: () throws(CNIError) -> Void) throws(CNIError) {
    let isFree = state.withLock { state in
      state.busy[name] == nil && state.collected.insert(name).inserted
    }
    if !isFree { return }
    defer { state.withLock { _ = $0.collected.remove(name) } }
    try body()
  }
}
