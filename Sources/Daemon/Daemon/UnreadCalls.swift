import Linux
import PluginKit
import Scheduling

/// The DELs that came while long requests were being read.
///
/// A long ADD can be overtaken by the short DEL that was sent after it. Such an ADD must not run
/// any more, as if it had waited in the dispatcher.
final class UnreadCalls: Sendable {
  /// A request that is being read.
  struct Place: Hashable, Sendable { fileprivate let number: UInt64 }

  private struct State {
    var last: UInt64 = 0
    /// For each request: the newest DEL of each attachment since it came.
    var deletes: [Place: [String: UInt64]] = [:]
  }

  private let state = Mutex(State())

  /// A request came that is read later.
  func add() -> Place {
    state.withLock { state in
      state.last &+= 1
      let place = Place(number: state.last)
      state.deletes[place] = [:]
      return place
    }
  }

  /// A request was read.
  func remove(_ place: Place) { state.withLock { $0.deletes[place] = nil } }

  /// A DEL was taken on.
  func note(deleteOf attachment: String, stamp: UInt64) {
    state.withLock { state in
      for place in state.deletes.keys {
        let newest = max(stamp, state.deletes[place]?[attachment] ?? 0)
        state.deletes[place]?[attachment] = newest
      }
    }
  }

  /// Whether a DEL of an ADD's attachment came while the ADD was read, and means it.
  func isOvertaken(_ add: Job, _ place: Place?) -> Bool {
    guard let place else { return false }
    return state.withLock { state in
      add.claim.attachments.contains { attachment in
        state.deletes[place]?[attachment].map { add.stamp <= $0 } ?? false
      }
    }
  }
}
