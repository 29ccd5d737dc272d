package import Linux
package import PluginKit

/// Why a call is answered by the dispatcher and not by its plugin.
package enum Rejection: Sendable {
  /// Its deadline passed while it waited.
  case expired
  /// Its deadline passed while it ran; it may still be at work.
  case overdue
  case stopping
  /// A DEL of the same attachment came while it waited.
  case overtaken
  /// Its client hung up while it waited.
  case clientGone
  /// The call from inside of which it comes ended while it waited.
  case outlived
}

/// What a worker does for a call.
package protocol DispatchedWork: AnyObject, Sendable {
  /// What the work is doing; by it the work is fenced.
  var progress: CallProgress { get }
  /// Does the work, on a worker's thread.
  func run()
  /// Tells the client; except for `overdue` the work never runs.
  func refuse(_ reason: Rejection)
  /// Ends the waits of running work, so that it fails soon.
  func cancel()
  /// Its worker has returned after it was abandoned.
  func cameBack()
}

extension DispatchedWork {
  /// Nothing can be ended.
  package func cancel() {}
  /// Nothing is left to do.
  package func cameBack() {}
}

/// A call in the dispatcher: what it must not run beside, and the work.
package struct Job: Sendable {
  /// What a call is to the dispatcher.
  package enum Kind: Sendable {
    /// Ends early when a DEL of its attachment comes.
    case add
    /// Runs also while the daemon is stopping, and beside a call of its attachment that hangs.
    case delete
    /// A client's call of another verb.
    case other
    /// A client's request that has to be read before anything is known of it; also while stopping.
    case reading
    /// Nobody waits for it.
    case background
    /// A DEL that found no daemon.
    ///
    /// No client waits for it.
    case spooled

    /// The lane whose places it uses.
    var lane: Lane {
      switch self {
      case .add, .other: .clients
      case .delete: .deletes
      case .reading: .reading
      case .background: .background
      case .spooled: .spooled
      }
    }

    /// Whether it is the daemon's own work, for which no client waits.
    package var isBackground: Bool { self == .background || self == .spooled }

    /// Whether it is taken on while the daemon is stopping.
    package var isServedWhileStopping: Bool { self == .delete || self == .reading }
  }

  /// Those who share places; none has to wait for another's.
  enum Lane: CaseIterable, Sendable {
    case clients
    /// DELs of clients: the clients' places, and some more for when others have those.
    case deletes
    /// A request of unknown length must not keep short ones waiting.
    case reading
    case background
    /// Not one of the background's places: what the recovery waits for keeps no DEL waiting.
    case spooled
  }

  /// Given by the dispatcher.
  package internal(set) var id: UInt64 = 0
  /// What it is to the dispatcher.
  package let kind: Kind
  /// What must not run side by side with it.
  package internal(set) var claim: Claim
  /// The attachments whose DEL ends it, if it is an ADD: what it began with.
  let own: Set<String>
  /// The caller's clock at its start, CLOCK_BOOTTIME; orders the calls of an attachment.
  package let stamp: UInt64
  /// When it is too late to begin, and when its client wants an answer.
  package let deadline: Deadline
  /// What a worker does.
  package let work: any DispatchedWork
  /// The program that makes the call from inside another one, as ``InnerCalls/id``.
  let caller: String?

  /// A call that the dispatcher does not have yet.
  package init(
    kind: Kind, claim: Claim, stamp: UInt64, deadline: Deadline, caller: String? = nil,
    work: any DispatchedWork
  ) {
    self.caller = caller
    self.kind = kind
    self.claim = claim
    own = claim.attachments
    self.stamp = stamp
    self.deadline = deadline
    self.work = work
  }
}
