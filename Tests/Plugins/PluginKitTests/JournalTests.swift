import CNI
import JSON
import Linux
import PluginKit
import Testing
import TestSupport

/// A journal of the plugin `p` for an ADD with a deadline.
func journal(
  _ progress: CallProgress = CallProgress(), deadline: Deadline = .after(seconds: 30)
) throws(CNIError) -> Journal<NamedPlugin.Step> {
  let call: AddCall<NamedPlugin.Step> = try addCall(
    request(.add, try configuration(), deadline: deadline), plugin: "p", progress: progress)
  return try call.record(plan: [], namespace: nil)
}

@Suite("Journal: steps")
struct JournalTests {
  @Test("steps run in order, give their values back and are told by plugin and step")
  func order() throws {
    let progress = CallProgress()
    let journal = try journal(progress)
    #expect(progress.current == "")
    let seen = try journal.perform(.first) { _ throws(CNIError) in
      [progress.current] + progress.finished.map(\.name)
    }
    #expect(seen == ["p.first"])
    try journal.perform(.third) { _ throws(CNIError) in }
    try journal.perform(.second) { _ throws(CNIError) in }
    #expect(progress.finished.map(\.name) == ["p.first", "p.third", "p.second"])
    #expect(progress.current == "p.second")
  }

  @Test("the time of a step is measured")
  func time() throws {
    let progress = CallProgress()
    let began = KernelClock.monotonic
    try journal(progress).perform(.first) { _ throws(CNIError) in
      while KernelClock.monotonic - began < 2_000_000 {}
    }
    let total = KernelClock.monotonic - began
    let measured = try #require(progress.finished.first?.nanoseconds)
    #expect(measured > 0 && measured <= total)
  }

  @Test("after the deadline a step does not begin: code 105 names it")
  func late() throws {
    let progress = CallProgress()
    let journal = try journal(progress, deadline: Deadline(nanoseconds: 1))
    var hasRun = false
    let error = failure { () throws(CNIError) in
      try journal.perform(.second) { _ throws(CNIError) in hasRun = true }
    }
    #expect(!hasRun)
    #expect(error == CNIError(.deadline, "deadline passed in step p.second"))
    #expect(progress.current == "p.second")
  }

  @Test(
    "a wait inside a step that runs into the deadline is code 105 with the step and the cause",
    arguments: [
      CNIError(.deadline, "cannot lock", details: "lock /x: timed out"),
      CNIError(.deadline, "lock /x: timed out"),
    ])
  func lateInside(cause: CNIError) throws {
    let journal = try journal()
    let error = failure { () throws(CNIError) in
      try journal.perform(.first) { _ throws(CNIError) in throw cause }
    }
    #expect(
      error
        == CNIError(.deadline, "deadline passed in step p.first", details: "lock /x: timed out"))
  }

  @Test("a cancelled call says so, before and inside a step")
  func cancelled() throws {
    let cancellation = try Cancellation()
    let deadline = Deadline.after(milliseconds: 30_000, cancellation: cancellation)
    let journal = try journal(deadline: deadline)
    let inside = failure { () throws(CNIError) in
      try journal.perform(.first) { _ throws(CNIError) in
        cancellation.cancel()
        try mapped { () throws(SystemError) in try deadline.check("wait", "for Godot") }
      }
    }
    #expect(inside?.code == .deadline)
    #expect(inside?.message == "cancelled in step p.first")
    #expect(inside?.details.hasPrefix("wait for Godot: ") == true)
    let before = failure { () throws(CNIError) in
      try journal.perform(.second) { _ throws(CNIError) in }
    }
    #expect(before?.message == "cancelled in step p.second")
  }

  @Test("any other error passes unchanged, and the step counts as ended")
  func failed() throws {
    let progress = CallProgress()
    let journal = try journal(progress)
    let cause = CNIError(.kernel, "no", details: "EPERM")
    let error = failure { () throws(CNIError) in
      try journal.perform(.first) { _ throws(CNIError) in throw cause }
    }
    #expect(error == cause)
    #expect(progress.finished.map(\.name) == ["p.first"])
  }

  @Test("calls of other verbs have their journal at once")
  func otherVerbs() throws {
    let progress = CallProgress()
    let call = PluginCall<NamedPlugin.Step>(
      host: try host(), plugin: "p", request: request(.delete, try configuration()), record: nil,
      progress: progress)
    try call.journal.perform(.first) { _ throws(CNIError) in }
    #expect(progress.finished.map(\.name) == ["p.first"])
  }
}

@Suite("Journal: the record comes first")
struct RecordingTests {
  @Test("recording writes the whole plan and the namespace in phase adding")
  func recorded() throws {
    let store = MemoryStore()
    let call: AddCall<NamedPlugin.Step> = try addCall(
      request(.add, try configuration()), plugin: "p", store: store)
    #expect(call.recorded == nil)
    let plan = [PlannedResource("link", [("name", "eth0")]), PlannedResource("lease", [])]
    _ = try call.record(plan: plan, namespace: NamespaceIdentity(cookie: 5))
    let record = try #require(call.recorded)
    #expect(store.written == [record])
    #expect(record.phase == .adding)
    #expect(record.plan == plan)
    #expect(record.namespace == NamespaceIdentity(cookie: 5))
    #expect(record.key.plugin == "p")
    #expect(record.result == nil)
  }

  @Test("a record that cannot be written gives no journal and counts as not recorded")
  func unwritable() throws {
    let refusal = CNIError(.ioFailure, "cannot record", details: "ENOSPC")
    let call: AddCall<NamedPlugin.Step> = try addCall(
      request(.add, try configuration()), plugin: "p", store: MemoryStore(failure: refusal))
    let error = failure { () throws(CNIError) in try call.record(plan: [], namespace: nil) }
    #expect(error == refusal)
    #expect(call.recorded == nil)
  }
}

@Suite("A call that was given up")
struct FencedCallTests {
  @Test("begins no further step, and says after which one it was given up")
  func steps() throws {
    let progress = CallProgress()
    let journal = try journal(progress)
    try journal.perform(.first) { _ throws(CNIError) in progress.fence() }
    let isDone = Locked(false)
    let error = failure { () throws(CNIError) in
      try journal.perform(.second) { _ throws(CNIError) in isDone.withLock { $0 = true } }
    }
    #expect(error?.code == .deadline && error?.message == "given up before step p.second")
    #expect(!isDone.value && progress.current == "p.first")
  }

  @Test("writes no record")
  func record() throws {
    let progress = CallProgress()
    let call: AddCall<NamedPlugin.Step> = try addCall(
      request(.add, try configuration()), plugin: "p", progress: progress)
    progress.fence()
    let error = failure { () throws(CNIError) in try call.record(plan: [], namespace: nil) }
    #expect(error?.code == .deadline)
    #expect(call.recorded == nil)
  }
}
