public import CNI
@_spi(Journal) public import Linux

/// The steps of a plugin, one for each of its effects on the outside.
///
/// Metrics, deadline errors and the fault tests use the raw values as names.
public protocol PluginStep: RawRepresentable, CaseIterable, Sendable where RawValue == String {}

/// Where records are kept.
package protocol AttachmentRecording: Sendable {
  /// Writes a record in place of the one with the same key.
  func write(_ record: AttachmentRecord) throws(CNIError)

  /// The attachment to which a name belongs: the newest one that lists it and is not being deleted.
  func holder(of name: OutsideName) -> NameHolder?

  /// The attachments that list a name and whose DEL has begun and still waits for somebody.
  func releasing(_ name: OutsideName) throws(CNIError) -> [AttachmentRecord]
}

/// Runs a plugin's effects, one step at a time, once their undo is on the disk.
///
/// It alone makes permits, and netlink changes, leases and executed plugins ask for one; so an
/// effect outside of a step does not compile.
public final class Journal<Step: PluginStep>: Sendable {
  private let plugin: String
  private let progress: CallProgress
  private let deadline: Deadline
  private let recorded: Recorded?

  init(
    plugin: String, progress: CallProgress, deadline: Deadline, recorded: Recorded? = nil
  ) {
    self.recorded = recorded
    self.plugin = plugin
    self.progress = progress
    self.deadline = deadline
  }

  /// Does one effect.
  ///
  /// - Parameters:
  ///   - step: its name.
  ///   - body: the effect; gets the permit that it needs.
  /// - Returns: what the body returns.
  /// - Throws: code 105 with the step's name if the deadline has passed before or in the step, or
  ///   if the call was abandoned; else the body's error.
  public func perform<T>(
    _ step: Step, _ body: (borrowing Permit) throws(CNIError) -> T
  ) throws(CNIError) -> T {
    let name = "\(plugin).\(step.rawValue)"
    guard progress.begin(name) else {
      throw CNIError(.deadline, "given up before step \(name)")
    }
    if deadline.isOver { throw overdue(name, cause: "") }
    let began = KernelClock.monotonic
    defer { progress.end(name, nanoseconds: KernelClock.monotonic &- began) }
    let value: T
    do throws(CNIError) {
      value = try body(Permit())
    } catch {
      guard error.code == .deadline else { throw error }
      throw overdue(name, cause: error.details.isEmpty ? error.message : error.details)
    }
    KillPoint.reached(name)
    return value
  }

  /// Does a step that waits for somebody outside, such as an agent; other calls have the call's
  /// place meanwhile.
  ///
  /// Parameters, result and errors are those of `perform`.
  public func waiting<T>(
    _ step: Step, _ body: (borrowing Permit) throws(CNIError) -> T
  ) throws(CNIError) -> T {
    try progress.waiting { () throws(CNIError) in try perform(step, body) }
  }

  /// Says that nothing of a kind is left of the ADD's plan: its undo then passes it over.
  ///
  /// - Parameter kind: as the plan has it.
  package func settle(_ kind: String) {
    recorded?.change { $0.plan.removeAll { $0.kind == kind } }
  }

  /// The same for the entries of one type that the condition names.
  package func settle<Entry: Planned>(_ type: Entry.Type, where isSettled: (Entry) -> Bool) {
    recorded?.change { record in
      record.plan.removeAll { entry in
        entry.kind == Entry.kind && Entry(entry.values).map(isSettled) ?? false
      }
    }
  }

  private func overdue(_ name: String, cause: String) -> CNIError {
    let cancelled = deadline.cancellation?.isCancelled == true
    return CNIError(
      .deadline, "\(cancelled ? "cancelled" : "deadline passed") in step \(name)", details: cause)
  }
}
