import Addresses
import Linux
import OVSDB
import TestSupport
import Testing

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
    _ = try await eventually { client.isConnected }
    await onThread { Clock.pause(milliseconds: 50) }
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
    _ = try await eventually { client.isConnected }
    try await fixture.server.kill()
    await onThread { Clock.pause(milliseconds: 300) }
    try await fixture.server.start()
    _ = try await onThread { try other.transact(mark(fixture, 7), deadline: soon) }
    #expect(await seen.value == 7)
  }

  @Test("A short outage is waited out")
  func shortOutage() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    _ = try await onThread { try client.transact(mark(fixture, 1), deadline: soon) }
    // Starting a server again may take longer than an outage that counts as short.
    let (socket, hidden) = (fixture.server.socket, fixture.server.socket + ".hidden")
    let results = try await onThread {
      try Files.rename(socket, hidden)
      try fixture.server.dropConnections()
      while client.isConnected { Clock.pause(milliseconds: 1) }
      try OSThread.start {
        Clock.pause(milliseconds: 300)
        try? Files.rename(hidden, socket)
      }
      return try client.transact(mark(fixture, 2), deadline: soon)
    }
    #expect(results.first?.count == 1)
  }

  @Test("In a long outage a call fails at once, and works again as soon as the server is back")
  func longOutage() async throws {
    let fixture = try await ServerFixture()
    let events = Locked<[OVSDBEvent]>([])
    let client = try fixture.client { event in events.withLock { $0.append(event) } }
    _ = try await onThread { try client.transact(mark(fixture, 1), deadline: soon) }
    try await fixture.server.stop()
    let first = await outcome { () throws(OVSDBError) in
      let start = KernelClock.monotonic
      do throws(OVSDBError) {
        try client.transact(mark(fixture, 2), deadline: soon)
      } catch {
        return (error, (KernelClock.monotonic - start) / 1_000_000)
      }
      return (.closed, 0)
    }
    let (error, milliseconds) = try first.get()
    guard case .unreachable(_, let cause) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(cause.contains("ENOENT") || cause.contains("ECONNREFUSED"))
    #expect(milliseconds >= 1000 && milliseconds < 4000 * UInt64(Program.patience))
    let calls = await outcome { () throws(OVSDBError) in
      let start = KernelClock.monotonic
      for _ in 0..<20 {
        do throws(OVSDBError) { try client.connect(deadline: soon) } catch { continue }
      }
      return (KernelClock.monotonic - start) / 1_000_000
    }
    #expect(try calls.get() < 1500 * UInt64(Program.patience))
    try await fixture.server.start()
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

  @Test(
    "A server that says nothing for ten seconds is given up, and a wait says that it is not reachable"
  )
  func silent() async throws {
    let fixture = try await ServerFixture()
    let events = Locked<[OVSDBEvent]>([])
    let client = try fixture.client { event in events.withLock { $0.append(event) } }
    _ = try await onThread { try client.schema(deadline: soon) }
    fixture.server.pause()
    let result = await outcome { () throws(OVSDBError) in
      try client.wait(for: "nothing", deadline: .after(seconds: 12)) { _ in Int?.none }
    }
    guard case .unreachable? = result.error else {
      Issue.record("\(result)")
      return
    }
    #expect(
      events.value.last
        == .lost(client.address, cause: "no answer for 5 s"))
    fixture.server.resume()
    _ = try await onThread { try client.schema(deadline: soon) }
  }

  @Test("A server that nobody uses is asked whether it lives, and stays connected")
  func idle() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    _ = try await onThread { try client.schema(deadline: soon) }
    await onThread { Clock.pause(milliseconds: 6000) }
    #expect(client.isConnected)
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
      let settled = try await eventually { ProcessUsage(pid: Process.pid).threads > 0 }
      precondition(settled)
      await onThread { Clock.pause(milliseconds: 200) }
      let before = ProcessUsage(pid: Process.pid)
      for _ in 0..<50 { try await use() }
      let isClean = try await eventually {
        let now = ProcessUsage(pid: Process.pid)
        return now.descriptors <= before.descriptors && now.threads <= before.threads
      }
      if !isClean { print("before \(before), after \(ProcessUsage(pid: Process.pid))") }
      precondition(isClean)
    }
  }
}
