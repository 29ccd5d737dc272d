import CNI
import Linux
import PluginKit
@testable import Scheduling
import Testing
import TestSupport

@Suite("Dispatcher: names that the newest ADD takes")
struct DispatcherTakingTests {
  private let desk: Desk

  init() throws { desk = try Desk() }

  /// Begins a call that runs until the test ends it.
  private func begin(
    _ name: String, _ kind: Job.Kind = .add, stamp: UInt64
  ) async throws -> UInt64 {
    let id = try desk.submit(name, kind, attachment: "\(name)/eth0", stamp: stamp)
    #expect(await desk.has("\(name) begins"))
    return id
  }

  /// Has a running call take a name.
  private func take(
    _ name: String, _ id: UInt64, for call: String, _ deadline: Deadline = soon
  ) throws(CNIError) {
    guard let progress = desk.progress(call) else { return }
    try RunningCall(dispatcher: desk.dispatcher, id: id).take([name], progress, deadline) {
      CNIError(.tryAgainLater, "superseded by \($0)")
    }
  }

  @Test("the newer one has the older one that runs with it ended, and waits for its end")
  func newer() async throws {
    let old = try await begin("old", stamp: 1)
    let new = try await begin("new", stamp: 2)
    try take("x", old, for: "old")
    let desk = desk
    async let taken: Void = onThread { [self] in
      try take("x", new, for: "new")
      desk.events.change { $0.append("new has it") }
    }
    #expect(await desk.has("old is cancelled"))
    #expect(desk.progress("old")?.supersession?.message == "superseded by new/eth0")
    #expect(!desk.events.value.contains("new has it"))
    desk.end("old")
    try await taken
    #expect(desk.progress("new")?.supersession == nil)
    desk.end("new")
  }

  @Test("the older one is refused at once when the newer one has it")
  func older() async throws {
    let new = try await begin("new", stamp: 2)
    let old = try await begin("old", stamp: 1)
    try take("x", new, for: "new")
    #expect(throws: CNIError(.tryAgainLater, "superseded by new/eth0")) {
      try take("x", old, for: "old")
    }
    // Another name is free.
    try take("y", old, for: "old")
    desk.end("old", "new")
  }

  @Test("the older one is refused also while the newer one still waits for it")
  func olderBesideWaiting() async throws {
    let oldest = try await begin("oldest", stamp: 1)
    let old = try await begin("old", stamp: 2)
    let new = try await begin("new", stamp: 3)
    try take("x", oldest, for: "oldest")
    async let taken: Void = onThread { [self] in try take("x", new, for: "new") }
    #expect(await desk.has("oldest is cancelled"))
    #expect(throws: CNIError(.tryAgainLater, "superseded by new/eth0")) {
      try take("x", old, for: "old")
    }
    desk.end("oldest")
    try await taken
    desk.end("old", "new")
  }

  @Test("an older one that itself waits for it is ended too")
  func waiting() async throws {
    let first = try await begin("first", stamp: 1)
    let second = try await begin("second", stamp: 2)
    let third = try await begin("third", stamp: 3)
    try take("x", first, for: "first")
    async let taken: Void = onThread { [self] in try take("x", second, for: "second") }
    #expect(await desk.has("first is cancelled"))
    async let last: Void = onThread { [self] in try take("x", third, for: "third") }
    #expect(await desk.has("second is cancelled"))
    desk.end("first")
    try await taken
    desk.end("second")
    try await last
    desk.end("third")
  }

  @Test("a call of another verb is not ended, only waited for")
  func otherVerbs() async throws {
    let del = try await begin("del", .delete, stamp: 1)
    let new = try await begin("new", stamp: 2)
    try take("x", del, for: "del")
    #expect(throws: CNIError.self) { try take("x", new, for: "new", .after(milliseconds: 20)) }
    #expect(!desk.events.value.contains("del is cancelled"))
    desk.end("del", "new")
  }
}
