import Addresses
import JSON
import Linux
import TestSupport
import Testing

@testable import OVSDB

/// A transaction that changes something, with a number to know it again.
private func mark(_ fixture: ServerFixture, _ number: Int) -> [OVSDBOperation] {
  [.update("Open_vSwitch", where: [.row(fixture.root)], ["next_cfg": .integer(number)])]
}

/// A transaction that waits in the server until something is so that never will be.
private var waiting: OVSDBOperation {
  .wait(
    "Bridge", where: [], columns: ["name"], are: [["name": .string("never")]],
    milliseconds: 60_000)
}

/// Whether a call fails because there is no server.
private func isRefused(_ client: OVSDBClient) -> Bool {
  do throws(OVSDBError) {
    try client.connect(deadline: soon)
    return false
  } catch {
    guard case .unreachable(_, let cause) = error else { return false }
    return cause.contains("ENOENT") || cause.contains("ECONNREFUSED")
  }
}

@Suite("The connection to a real ovsdb-server", .openVSwitch)
struct ConnectionTests {
  @Test("Sixteen threads share it, and each gets the answers to its own questions")
  func shared() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for thread in 0..<16 {
        group.addTask {
          try await onThread { () throws(OVSDBError) in
            var wrong = 0
            for round in 0..<50 {
              let key = "t\(thread)"
              let results = try client.transact(
                [
                  .mutate(
                    "Open_vSwitch", where: [],
                    [
                      OVSDBMutation("external_ids", .delete, .set([.string(key)])),
                      OVSDBMutation("external_ids", .insert, .strings([key: "\(round)"])),
                    ]),
                  .select(from: "Open_vSwitch", where: [], columns: ["external_ids"]),
                ], deadline: soon)
              let answered = results.last?.rows.first?["external_ids"]?[key]
              let copied = try client.read(deadline: soon) {
                $0.rows("Open_vSwitch").values.first?["external_ids"]?[key]
              }
              if answered != "\(round)" || copied != "\(round)" { wrong += 1 }
            }
            return wrong
          }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }

  @Test("A call after the server was restarted works, and the copy is read anew")
  func restarted() async throws {
    let fixture = try await ServerFixture()
    let events = Locked<[OVSDBEvent]>([])
    let client = try fixture.client { event in events.withLock { $0.append(event) } }
    for number in 1...5 {
      let seen = try await onThread { () throws(OVSDBError) in
        try client.transact(mark(fixture, number), deadline: soon)
        return try client.read(deadline: soon) {
          $0.row("Open_vSwitch", fixture.root)?["next_cfg"]?.integer
        }
      }
      #expect(seen == number)
      if number.isMultiple(of: 2) {
        try await fixture.server.kill()
      } else {
        try await fixture.server.stop()
      }
      try await fixture.server.start()
    }
    #expect(events.value.count { if case .connected = $0 { true } else { false } } == 5)
    #expect(events.value.count { if case .lost = $0 { true } else { false } } >= 4)
  }

  @Test("A server that is killed during a transaction interrupts it")
  func killed() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    async let result = outcome { () throws(OVSDBError) in
      try client.transact([waiting], deadline: soon)
    }
    // A call is entered when it is sent.
    #expect(try await becomes { client.session.state.withLock { !$0.calls.isEmpty } })
    try await fixture.server.kill()
    guard case .interrupted? = await result.error else {
      Issue.record("\(await result)")
      return
    }
    #expect(!client.isConnected)
  }

  @Test("A wait lives through a restart and sees what happened meanwhile")
  func waitThrough() async throws {
    let fixture = try await ServerFixture()
    let (client, other) = (try fixture.client(), try fixture.client())
    async let seen = outcome { () throws(OVSDBError) in
      try client.wait(for: "number 7", deadline: soon) { replica in
        replica.row("Open_vSwitch", fixture.root)?["next_cfg"]?.integer.flatMap {
          $0 == 7 ? $0 : nil
        }
      }
    }
    #expect(try await becomes { client.isConnected })
    try await fixture.server.kill()
    let isLost = try await becomes { !client.isConnected }
    #expect(isLost)
    try await fixture.server.start()
    _ = try await onThread { try other.transact(mark(fixture, 7), deadline: soon) }
    #expect(await seen.value == 7)
  }

  @Test("A short outage is waited out")
  func shortOutage() async throws {
    let fixture = try await ServerFixture()
    // Starting a server again may take longer than an outage that counts as short.
    let (socket, hidden) = (fixture.server.socket, fixture.server.socket + ".hidden")
    let client = try fixture.client { event in
      guard case .unreachable = event else { return }
      try? Files.rename(hidden, socket)
    }
    let results = try await onThread {
      try client.transact(mark(fixture, 1), deadline: soon)
      try Files.rename(socket, hidden)
      try fixture.server.dropConnections()
      while client.isConnected { Clock.pause(milliseconds: 1) }
      return try client.transact(mark(fixture, 2), deadline: soon)
    }
    #expect(results.first?.count == 1)
  }

  @Test("In a long outage a call fails at once, and works again as soon as the server is back")
  func longOutage() async throws {
    let fixture = try await ServerFixture()
    let events = Locked<[OVSDBEvent]>([])
    var time = ConnectionTime.patient
    time.patience = 500_000_000
    // Only calls lead to tries.
    (time.shortestPause, time.longestPause) = (3_600_000, 3_600_000)
    let client = try fixture.client(time: time) { event in events.withLock { $0.append(event) } }
    // Connecting may take longer than this client's patience.
    let connect: @Sendable () throws -> Void = {
      try client.session.connect(deadline: soon, waitsOut: true)
    }
    try await onThread(connect)
    _ = try await onThread { try client.transact(mark(fixture, 1), deadline: soon) }
    try await fixture.server.stop()
    let first = await outcome { () throws(OVSDBError) in
      try client.transact(mark(fixture, 2), deadline: .after(seconds: 600))
    }
    guard case .unreachable? = first.error else {
      Issue.record("\(first)")
      return
    }
    // The first call may have given up before a try was made.
    #expect(try await becomes { isRefused(client) })
    let calls = await onThread {
      (0..<20).map { _ -> (error: OVSDBError?, milliseconds: UInt64) in
        let start = KernelClock.monotonic
        do throws(OVSDBError) {
          try client.connect(deadline: .after(seconds: 600))
          return (nil, 0)
        } catch {
          return (error, (KernelClock.monotonic - start) / 1_000_000)
        }
      }
    }
    #expect(calls.allSatisfy { if case .unreachable? = $0.error { true } else { false } })
    // Had they waited for the end of the outage, even the quickest would have had half a second.
    #expect(calls.map(\.milliseconds).min() ?? 500 < 400, "\(calls)")
    try await fixture.server.start()
    try await onThread(connect)
    #expect(
      try await outcome { () throws(OVSDBError) in
        try client.transact(mark(fixture, 3), deadline: soon)
      }.get().first?.count == 1)
    #expect(events.value.count { if case .unreachable = $0 { true } else { false } } <= 2)
  }

  @Test("A server that stands still does not keep a call beyond its deadline or its cancellation")
  func standsStill() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    _ = try await onThread { try client.transact(mark(fixture, 1), deadline: soon) }
    fixture.server.pause()
    let late = await outcome { () throws(OVSDBError) in
      try client.transact(mark(fixture, 2), deadline: .after(milliseconds: 200))
    }
    #expect(late.error == .timedOut("wait for the answer to transact"))
    let cancellation = try Cancellation()
    async let cancelled = outcome { () throws(OVSDBError) in
      try client.transact(
        mark(fixture, 3), deadline: .after(seconds: 60, cancellation: cancellation))
    }
    // Whenever it comes: before the request is sent, or while its answer is awaited.
    await onThread { Clock.pause(milliseconds: 50) }
    cancellation.cancel()
    #expect(await cancelled.error == .cancelled("wait for the answer to transact"))
    fixture.server.resume()
    // What was sent is done in its order, before what is sent now.
    let seen = try await onThread { () throws(OVSDBError) in
      try client.transact(
        [.select(from: "Open_vSwitch", where: [], columns: ["next_cfg"])], deadline: soon)
    }
    #expect(seen.first?.rows.first?["next_cfg"]?.integer == 3)
  }

  @Test("A server that does not answer is given up, and a wait says that it is not reachable")
  func silent() async throws {
    let fixture = try await ServerFixture()
    let events = Locked<[OVSDBEvent]>([])
    // A second for an answer: with none of the usual ones it is the server that stands still.
    let patience = Program.patience
    let time = ConnectionTime.silence(milliseconds: 1000 * patience)
    let client = try fixture.client(time: time) { event in events.withLock { $0.append(event) } }
    _ = try await onThread { try client.schema(deadline: soon) }
    fixture.server.pause()
    async let waited = outcome { () throws(OVSDBError) in
      try client.wait(for: "nothing", deadline: .after(seconds: 5 * patience)) { _ in
        Int?.none
      }
    }
    let result = await waited
    guard case .unreachable? = result.error else {
      Issue.record("\(result)")
      return
    }
    // Tries to connect again may have failed since.
    let cause = "no answer for \(time.silence / 1_000_000_000) s"
    #expect(events.value.contains(.lost(client.address, cause: cause)))
    fixture.server.resume()
    _ = try await onThread { try client.schema(deadline: soon) }
  }

  @Test("A server that nobody uses is asked whether it lives, and stays connected")
  func idle() async throws {
    let asked = Locked(0)
    let server = try FakeServer { request in
      guard request["method"] == "echo" else { return .send([]) }
      asked.withLock { $0 += 1 }
      return .send([FakeServer.answer(request, [])])
    }
    let events = Locked<[OVSDBEvent]>([])
    let client = try server.client(time: .silence(milliseconds: 3000 * Program.patience)) { event in
      events.withLock { $0.append(event) }
    }
    _ = try await onThread { try client.schema(deadline: soon) }
    let isAsked = try await becomes { asked.value >= 2 }
    #expect(isAsked && client.isConnected)
    #expect(events.value.count == 1)
  }

  @Test("It works over TCP too")
  func tcp() async throws {
    let network = try await TestNamespace()
    try await network.ip("link set lo up")
    let fixture = try await ServerFixture(remotes: ["ptcp:6640:127.0.0.1"], in: network)
    let count = try await network.run {
      let client = try fixture.client("tcp:127.0.0.1:6640")
      try client.transact(fixture.bridge("br", ports: ["a"]), deadline: soon)
      let count = try client.read(deadline: soon) { $0.rows("Port").count }
      client.close()
      return count
    }
    #expect(count == 1)
  }

  @Test("Closing ends the calls that wait and those that come")
  func closed() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    _ = try await onThread { try client.schema(deadline: soon) }
    async let transaction = outcome { () throws(OVSDBError) in
      try client.transact([waiting], deadline: soon)
    }
    async let wait = outcome { () throws(OVSDBError) in
      try client.wait(for: "nothing", deadline: soon) { _ in Int?.none }
    }
    await onThread { Clock.pause(milliseconds: 50) }
    client.close()
    #expect(await transaction.error == .closed)
    #expect(await wait.error == .closed)
    let later = await outcome { () throws(OVSDBError) in try client.schema(deadline: soon) }
    #expect(later.error == .closed)
  }

  @Test("Nothing is left of fifty clients but what there was before")
  func leftovers() async throws {
    await #expect(processExitsWith: .success) {
      let fixture = try await ServerFixture()
      func use() async throws {
        let client = try fixture.client()
        _ = try await onThread { try client.transact(mark(fixture, 1), deadline: soon) }
        // The last reference closes it.
      }
      try await use()
      // The runtime's own threads come at the first uses.
      for _ in 0..<3 { try await use() }
      let before = try await settledUsage()
      for _ in 0..<50 { try await use() }
      let isClean = try await eventually {
        let now = ProcessUsage(pid: Process.pid)
        // The runtime's pool may have grown; a leak would be of fifty.
        return now.descriptors <= before.descriptors && now.threads <= before.threads + 5
      }
      if !isClean { print("before \(before), after \(ProcessUsage(pid: Process.pid))") }
      precondition(isClean)
    }
  }
}

/// What the process uses when that has stayed the same for a while, because what was
/// closed has ended.
private func settledUsage() async throws -> ProcessUsage {
  let last = Locked((usage: ProcessUsage(pid: Process.pid), looks: 0))
  let isSettled = try await eventually {
    let now = ProcessUsage(pid: Process.pid)
    return last.withLock { last in
      let isSame =
        now.threads == last.usage.threads && now.descriptors == last.usage.descriptors
      last = (now, isSame ? last.looks + 1 : 0)
      return last.looks >= 20
    }
  }
  precondition(isSettled)
  return last.value.usage
}
