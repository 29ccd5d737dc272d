import CNI
import Daemon
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Server: order, load and stopping, seen by clients")
struct StoppingTests {
  /// A plugin whose ADDs, and DELs of the container `held`, wait at a door.
  private static func waiting(at door: Door) -> RecordingPlugin {
    RecordingPlugin(
      add: { call throws(CNIError) in
        let result = try RecordingPlugin.make(call)
        door.pass()
        return result
      },
      others: [
        .delete: { call throws(CNIError) in if call.request.sandboxID == "held" { door.pass() } }
      ])
  }

  private let door = Door()

  @Test("while stopping, running calls end well, waiting and new ones are asked to come again")
  func stopping() async throws {
    let plugin = Self.waiting(at: door)
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 1 }
    let running = daemon.start(CNICall(container: "a"))
    #expect(await door.isReached())
    let waiting = daemon.start(CNICall(container: "b"))
    let check = daemon.start(CNICall("CHECK", container: "a"))
    // It has the place that only DELs can have.
    let held = daemon.start(CNICall("DEL", container: "held"))
    #expect(try await becomes { daemon.server.load == (running: 2, waiting: 2) })
    let delete = daemon.start(CNICall("DEL", container: "c"))
    #expect(try await becomes { daemon.server.load.waiting == 3 })
    daemon.server.beginStopping()
    for answer in [try await waiting.value, try await check.value] {
      #expect(answer.status == 400)
      #expect(answer.code == 11)
      #expect(answer.message == "cnid is stopping; try again")
      #expect(answer.header("retry") == "1")
    }
    // The sweep of the start may still run, too.
    #expect(try await becomes { daemon.server.load.running == 2 })
    let late = try await daemon.send(CNICall(container: "d"))
    #expect(late.code == 11)
    #expect(late.header("retry") == "1")
    door.open()
    #expect(try await running.value.status == 200)
    #expect(try await held.value.status == 200)
    #expect(try await delete.value.status == 200)
    #expect(plugin.calls(.add).map(\.request.sandboxID) == ["a"])
    #expect(try await becomes { daemon.server.load == (running: 0, waiting: 0) })
    // DEL is served to the end.
    #expect(try await daemon.send(CNICall("DEL", container: "a")).status == 200)
    #expect(daemon.files.isEmpty)
  }

  @Test(
    "every verb but DEL is turned away while stopping",
    arguments: ["ADD", "CHECK", "STATUS", "GC", "UPDATE"])
  func verbs(command: String) async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    daemon.server.beginStopping()
    let answer = try await daemon.send(
      command == "GC" ? .garbageCollection([]) : CNICall(command))
    #expect(answer.code == 11)
    #expect(answer.header("retry") == "1")
    #expect(plugin.calls.value.isEmpty)
  }

  @Test("beyond those that may run and wait, calls get code 11 without Retry")
  func full() async throws {
    let plugin = Self.waiting(at: door)
    let daemon = try TestDaemon([plugin]) {
      $0.maximumConcurrent = 1
      $0.maximumQueued = 1
    }
    let first = daemon.start(CNICall(container: "a"))
    #expect(await door.isReached())
    let second = daemon.start(CNICall(container: "b"))
    #expect(try await becomes { daemon.server.load.waiting == 1 })
    let third = try await daemon.send(CNICall(container: "c"))
    #expect(third.code == 11)
    #expect(third.message == "cnid is busy: 2 calls are running or waiting")
    #expect(third.header("retry") == nil)
    // Probes are answered all the same.
    #expect(try await daemon.send("GET", "/readyz").status == 200)
    door.open()
    #expect(try await first.value.status == 200)
    #expect(try await second.value.status == 200)
  }

  @Test("a call that waits past its time gets code 105 while others still run")
  func expired() async throws {
    let plugin = Self.waiting(at: door)
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 1 }
    let first = daemon.start(CNICall(container: "a"))
    #expect(await door.isReached())
    let second = daemon.start(
      CNICall(container: "b", headers: [("X-Cnid-Time-Left", "2001")]))
    #expect(
      try await becomes {
        daemon.server.lookAfter()
        return daemon.log.contains("deadline passed while waiting")
      })
    let answer = try await second.value
    #expect(answer.code == 105)
    #expect(answer.message == "deadline passed while waiting for other calls")
    door.open()
    #expect(try await first.value.status == 200)
    #expect(plugin.calls(.add).count == 1)
  }

  @Test("a DEL waits for the ADD of its attachment; another attachment's call does not")
  func perAttachment() async throws {
    let plugin = Self.waiting(at: door)
    let daemon = try TestDaemon([plugin])
    let add = daemon.start(CNICall(container: "a"))
    #expect(await door.isReached())
    let delete = daemon.start(CNICall("DEL", container: "a"))
    #expect(try await becomes { daemon.server.load.waiting == 1 })
    #expect(try await daemon.send(CNICall("DEL", container: "b")).status == 200)
    #expect(try await daemon.send(CNICall("CHECK", container: "a", ifName: "net1")).status == 200)
    #expect(plugin.calls(.delete).map(\.request.sandboxID) == ["b"])
    door.open()
    #expect(try await add.value.status == 200)
    #expect(try await delete.value.status == 200)
    #expect(plugin.calls(.delete).last?.record?.phase == .deleting)
    #expect(daemon.files.isEmpty)
  }
}
