import Linux
import PluginKit

/// Why a call is answered by the dispatcher and not by its plugin.
enum Rejection: Sendable {
  /// Its deadline passed while it waited.
  case expired
  /// Its deadline passed while it ran; it may still be at work.
  case overdue
  /// The daemon is stopping.
  case stopping
  /// A DEL of the same attachment came while it waited.
  case overtaken
  /// Its client hung up while it waited.
  case clientGone
}

/// What a worker does for a call.
protocol DispatchedWork: AnyObject, Sendable {
  /// What the work is doing; by it the work is fenced.
  var progress: CallProgress { get }
  /// Does the work, on a worker's thread.
  func run()
  /// Tells the client; except for `overdue` the work never runs.
  func refuse(_ reason: Rejection)
  /// Ends the waits of running work, so that it fails soon.
  func cancel()
  /// Its worker has come back after it was given up.
  func cameBack()
}

extension DispatchedWork {
  /// Nothing can be ended.
  func cancel() {}
  /// Nothing is left to do.
  func cameBack() {}
}

/// A call in the dispatcher: what it must not run beside, and the work.
struct Job: Sendable {
  enum Kind: Sendable {
    /// Ends early when a DEL of its attachment comes.
    case add
    /// Runs also while the daemon is stopping, and beside a call of its attachment that hangs.
    case delete
    case other
    /// Nobody waits for it; runs in places of its own, and is never refused.
    case background
  }

  /// Given by the dispatcher.
  var id: UInt64 = 0
  let kind: Kind
  /// What must not run side by side: `container/ifname`; nil for calls about no attachment.
  var attachment: String?
  /// What else must not run side by side, a plugin's wish.
  var lock: String?
  /// The network's name.
  let network: String
  /// Whether nothing else may run in the network.
  var isExclusive = false
  /// The caller's clock at its start, CLOCK_BOOTTIME; orders the calls of an attachment.
  let stamp: UInt64
  /// When it is too late to begin, and when its client wants an answer.
  let deadline: Deadline
  let work: any DispatchedWork

  /// The text that orders an attachment's calls.
  static func attachment(_ containerID: String, _ ifName: String) -> String {
    "\(containerID)/\(ifName)"
  }
}
