import CNI
@testable import Daemon
import DaemonAPI
import Linux
import PluginKit
import Testing
import TestSupport

/// A plugin whose ADD comes to an open door in its step, and waits until it is cancelled.
private func waiting(_ door: Door) -> RecordingPlugin {
  RecordingPlugin(add: { call throws(CNIError) in
    let journal = try call.record(plan: [PlannedResource("thing", [])], namespace: nil)
    var nothing: [PollEntry] = []
    try journal.perform(.make) { _ throws(CNIError) in
      door.open()
      door.pass()
      try mapped { () throws(SystemError) in
        try call.request.deadline.wait(&nothing, "wait")
      }
    }
    return RecordingPlugin.result
  })
}

/// A plugin whose ADD ends when a door opens, whatever else happens.
private func stubborn(_ door: Door, _ arrived: Watched<Int> = Watched(0)) -> RecordingPlugin {
  RecordingPlugin(add: { call throws(CNIError) in
    let journal = try call.record(plan: [PlannedResource("thing", [])], namespace: nil)
    try journal.perform(.make) { _ throws(CNIError) in
      arrived.change { $0 += 1 }
      door.pass()
    }
    try journal.perform(.change) { _ throws(CNIError) in }
    return RecordingPlugin.result
  })
}

/// Sends a call and keeps its connection.
private func connected(_ daemon: TestDaemon, _ call: CNICall) async throws -> Locked<Int32> {
  let (bytes, socket) = (call.bytes, daemon.socket)
  return try await onThread {
    let connection = try UnixSocket.connect(socket)
    try Descriptor.sendAll(connection.rawValue, bytes, deadline: soon)
    return Locked(connection.release())
  }
}

private func hangUp(_ client: Locked<Int32>) {
  _ = FileDescriptor(adopting: client.value)
}

@Suite("ADDs that nobody wants any more")
struct CancellationTests {
  @Test("an ADD whose client hangs up is cancelled and undone")
  func clientGone() async throws {
    let door = Door()
    let plugin = waiting(door)
    let daemon = try TestDaemon([plugin])
    let client = try await connected(daemon, CNICall())
    #expect(await door.isReached())
    #expect(try await becomes { daemon.files.count == 1 })
    hangUp(client)
    #expect(await plugin.hasCalls(.delete))
    #expect(try await becomes { daemon.files.isEmpty })
    #expect(try await becomes { daemon.log.contains("cancelled in step recorder.make") })
  }

  @Test("an ADD whose client has only ended its own writing goes on")
  func halfClosed() async throws {
    let door = Door()
    let plugin = stubborn(door)
    let daemon = try TestDaemon([plugin])
    let client = try await connected(daemon, CNICall())
    #expect(await door.isReached())
    let number = client.value
    let answer = try await onThread {
      let connection = FileDescriptor(adopting: number)
      try Descriptor.endWriting(number)
      door.open()
      _ = connection
      return try Descriptor.readAll(number, limit: 1 << 16, deadline: soon)
    }
    #expect(try RawHTTP.parse(answer).status == 200)
    #expect(daemon.record()?.phase == .attached)
  }

  @Test("an ADD is undone whose client went away before it could get the result")
  func unread() async throws {
    let door = Door()
    let plugin = stubborn(door)
    let daemon = try TestDaemon([plugin])
    let client = try await connected(
      daemon, CNICall(headers: [(RequestHeaders.requestIDName, "abc")]))
    #expect(await door.isReached())
    hangUp(client)
    // The plugin does not look, and succeeds.
    #expect(try await becomes { plugin.calls(.add).first?.request.deadline.isOver == true })
    door.open()
    #expect(await plugin.hasCalls(.delete))
    #expect(try await becomes { daemon.files.isEmpty })
  }

  @Test("an ADD that waits and whose client hangs up never starts")
  func waitingClient() async throws {
    let door = Door()
    let plugin = stubborn(door)
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 1 }
    let first = daemon.start(CNICall(container: "a"))
    #expect(await door.isReached())
    let client = try await connected(daemon, CNICall(container: "b"))
    #expect(try await becomes { daemon.server.load.waiting == 1 })
    hangUp(client)
    #expect(try await becomes { daemon.server.load.waiting == 0 })
    door.open()
    #expect(try await first.value.status == 200)
    #expect(plugin.calls(.add).map(\.request.sandboxID) == ["a"])
  }

  @Test("a DEL ends the ADD of its attachment that runs, and then finds it undone")
  func deleteDuringAdd() async throws {
    let door = Door()
    let plugin = waiting(door)
    let daemon = try TestDaemon([plugin])
    let add = daemon.start(CNICall())
    #expect(await door.isReached())
    let delete = try await daemon.send(CNICall("DEL"))
    let failed = try await add.value
    #expect(delete.status == 200)
    #expect(failed.code == 105 && failed.message == "cancelled in step recorder.make")
    #expect(daemon.files.isEmpty)
  }

  @Test("a DEL that is older than a running ADD does not end it")
  func olderDelete() async throws {
    let door = Door()
    let plugin = stubborn(door)
    let daemon = try TestDaemon([plugin])
    let old = Stamp.now
    let add = daemon.start(CNICall())
    #expect(await door.isReached())
    let delete = daemon.start(
      CNICall("DEL").with(RequestHeaders.stampName, old.description))
    #expect(try await becomes { daemon.server.load.waiting == 1 })
    door.open()
    #expect(try await add.value.status == 200)
    #expect(try await delete.value.status == 200)
    #expect(daemon.record()?.phase == .attached)
  }
}

@Suite("Calls that hang")
struct HangingCallTests {
  @Test(
    "its client gets code 105 with the step; the worker is replaced; what it did late is undone")
  func hanging() async throws {
    let door = Door()
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      let journal = try call.record(plan: [PlannedResource("thing", [])], namespace: nil)
      if call.request.sandboxID == "stuck" {
        _ = try journal.perform(.make) { _ throws(CNIError) in door.pass() }
      }
      try journal.perform(.change) { _ throws(CNIError) in }
      return RecordingPlugin.result
    })
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 1 }
    // Long enough to come to the step.
    let add = daemon.start(
      CNICall(container: "stuck").with(RequestHeaders.timeLeftName, "8000"))
    #expect(await door.isReached())
    let answer = try await add.value
    #expect(answer.code == 105 && answer.message == "deadline passed in step recorder.make")
    // The only place is free again.
    #expect(try await daemon.send(CNICall(container: "other")).status == 200)
    // A DEL is served, but the record stays as long as the step may still do something.
    #expect(try await daemon.send(CNICall("DEL", container: "stuck")).status == 200)
    #expect(daemon.record("stuck")?.phase == .deleting)
    let again = daemon.start(CNICall(container: "stuck"))
    #expect(try await becomes { daemon.server.load.waiting == 1 })
    door.open()
    #expect(try await becomes { daemon.log.contains("a call that was given up has come back") })
    // No further step ran; what the hanging one did was undone before the next ADD began.
    #expect(try await again.value.status == 200)
    #expect(daemon.record("stuck")?.phase == .attached)
    #expect(plugin.calls(.delete).filter { $0.request.sandboxID == "stuck" }.count >= 2)
  }

  @Test("four that hang make /readyz fail; every probe answers within 100 ms meanwhile")
  func unhealthy() async throws {
    let door = Door()
    let arrived = Watched(0)
    let plugin = stubborn(door, arrived)
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 4 }
    let calls = (0..<4).map { number in
      daemon.start(
        CNICall(container: "c\(number)").with(RequestHeaders.timeLeftName, "10000"))
    }
    #expect(await arrived.reaches { $0 == 4 })
    for call in calls { #expect(try await call.value.code == 105) }
    #expect(
      try await becomes { daemon.server.load.running == 0 }, "the workers were not given up")
    let ready = try await daemon.send("GET", "/readyz")
    #expect(ready.status == 500)
    #expect(try await daemon.send("GET", "/healthz").status == 200)
    door.open()
    #expect(
      try await becomes { (try? RawHTTP.get("/readyz", daemon.socket, within: 1000).status) == 200 }
    )
    #expect(try await becomes { daemon.files.isEmpty })
  }
}
