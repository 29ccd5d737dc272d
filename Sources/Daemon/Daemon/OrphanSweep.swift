import CNI
import DaemonAPI
import Linux
import Netlink
package import PluginKit

/// Finds attachments whose namespace has ended without a DEL.
///
/// It keeps since when each is known to be dead and names those that have been so for the grace, in
/// which the runtime's own DEL may still come. Records of another boot are not its business:
/// recovery at start settles them.
package final class OrphanSweep: Sendable {
  /// Says whether an attachment's namespace is still there; true when it could not be found out.
  package typealias Question = @Sendable (AttachmentNamespace.Trace) -> Bool

  private let grace: Mutex<UInt64>
  private let isAlive: Question
  /// Since when the dead ones are known to be, KernelClock.monotonic.
  private let dead = Mutex<[AttachmentKey: UInt64]>([:])

  /// Creates a sweep that knows of no dead one yet.
  ///
  /// - Parameters:
  ///   - graceSeconds: `orphanGrace` of the configuration.
  ///   - isAlive: looks at one attachment; blocks for as long as that takes.
  package init(graceSeconds: Int, isAlive: @escaping Question) {
    grace = Mutex(Self.nanoseconds(graceSeconds))
    self.isAlive = isAlive
  }

  /// Changes the grace, also for those that are known to be dead.
  package func setGrace(seconds: Int) { grace.withLock { $0 = Self.nanoseconds(seconds) } }

  private static func nanoseconds(_ seconds: Int) -> UInt64 {
    let (time, overflow) = UInt64(clamping: seconds).multipliedReportingOverflow(
      by: 1_000_000_000)
    return overflow ? .max : time
  }

  /// Looks at all attachments.
  ///
  /// - Parameters:
  ///   - traces: of every attachment of this boot; what is not among them is forgotten.
  ///   - now: KernelClock.monotonic.
  /// - Returns: the attachments whose namespace has been dead for the grace, until their
  ///   records are gone.
  package func look(at traces: [AttachmentNamespace.Trace], now: UInt64) -> [AttachmentKey] {
    let gone = Set(traces.filter { !isAlive($0) }.map(\.key))
    return dead.withLock { dead in
      dead = dead.filter { gone.contains($0.key) }
      for key in gone where dead[key] == nil { dead[key] = now }
      return due(dead, now)
    }
  }

  /// Looks at the attachments in a namespace whose id the kernel has just taken away.
  ///
  /// - Parameters:
  ///   - id: the id.
  ///   - traces: of every attachment of this boot; those with another id stay as they were.
  ///   - now: KernelClock.monotonic.
  /// - Returns: as `look(at:now:)`.
  package func ended(
    namespaceID id: Int32, _ traces: [AttachmentNamespace.Trace], now: UInt64
  ) -> [AttachmentKey] {
    let concerned = traces.filter { $0.namespace.id == id }
    let gone = Set(concerned.filter { !isAlive($0) }.map(\.key))
    return dead.withLock { dead in
      for trace in concerned {
        dead[trace.key] = gone.contains(trace.key) ? dead[trace.key] ?? now : nil
      }
      return due(dead, now)
    }
  }

  /// Whether an attachment that was named is still dead, just before it is removed.
  package func isStillDead(_ trace: AttachmentNamespace.Trace) -> Bool {
    dead.withLock { $0[trace.key] != nil } && !isAlive(trace)
  }

  /// When the next dead one will have been so for the grace, KernelClock.monotonic; nil if none is
  /// known to be dead.
  package var nextDue: UInt64? {
    let grace = grace.withLock { $0 }
    return dead.withLock { dead in
      guard let first = dead.values.min() else { return nil }
      let (due, overflow) = first.addingReportingOverflow(grace)
      return overflow ? .max : due
    }
  }

  private func due(_ dead: [AttachmentKey: UInt64], _ now: UInt64) -> [AttachmentKey] {
    let grace = grace.withLock { $0 }
    // The clock of a caller that was slow may be behind that of another.
    return dead.filter { now >= $0.value && now - $0.value >= grace }
      .sorted { ($0.value, $0.key.description) < ($1.value, $1.key.description) }.map(\.key)
  }
}

extension OrphanSweep {
  /// Asks the kernel, from the daemon's own namespace; for the initialiser's `isAlive`.
  ///
  /// - Parameter log: hears when it could not be found out.
  /// - Returns: the question, which ends within ten seconds.
  package static func kernel(_ log: Log) -> Question {
    { trace in
      do throws(CNIError) {
        var node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
        return try AttachmentNamespace.isAlive(trace, &node, deadline: .after(seconds: 10))
      } catch {
        log.write(
          .warning, "whether a namespace is alive could not be found out",
          [("attachment", "\(trace.key)"), ("error", "\(error)")])
        return true
      }
    }
  }
}
