import CNI
@testable import Daemon
import Linux
import PluginKit
import Records
import Testing
import TestSupport

@Suite("Server: its thread waits for nobody")
struct ServerThreadTests {
  /// A configuration of more than 64 KiB.
  private static let long =
    #"{"cniVersion":"1.1.0","name":"net","type":"recorder","pad":""#
    + String(repeating: "x", count: 100_000) + #""}"#

  /// A plugin that takes its time to read a call of one verb, as a long configuration does.
  private func slowReader(_ command: CNICommand, _ door: Door) -> RecordingPlugin {
    RecordingPlugin(lock: { request in
      if request.command == command { door.pass() }
      return nil
    })
  }

  @Test("a long call is read by a worker: probes and short calls do not wait for it")
  func longCall() async throws {
    let door = Door()
    let plugin = slowReader(.add, door)
    let daemon = try TestDaemon([plugin])
    let long = daemon.start(CNICall("ADD", Self.long))
    #expect(await door.isReached())
    #expect(try await daemon.send("GET", "/healthz").status == 200)
    let short = try await daemon.send(CNICall("CHECK", container: "other"))
    #expect(short.status == 200, "\(short)")
    #expect(plugin.calls(.add).isEmpty)
    door.open()
    #expect(try await long.value.status == 200)
    #expect(plugin.calls(.add).count == 1)
  }

  @Test("an ADD that is still being read when its DEL comes does not run any more")
  func overtaken() async throws {
    let door = Door()
    let plugin = slowReader(.add, door)
    let daemon = try TestDaemon([plugin])
    let long = daemon.start(
      CNICall("ADD", Self.long).with("X-Cnid-Stamp", CNICall.stamp(1)))
    #expect(await door.isReached())
    let deletion = try await daemon.send(CNICall("DEL"))
    #expect(deletion.status == 200, "\(deletion)")
    door.open()
    let answer = try await long.value
    #expect(answer.message == "cancelled: a DEL of the attachment came", "\(answer)")
    #expect(plugin.calls(.add).isEmpty)
    #expect(daemon.record() == nil)
  }

  @Test("a DEL that names no pod waits for the pod's calls, without a look at the record's file")
  func lockOfRecord() async throws {
    let door = Door()
    defer { door.open() }
    let plugin = RecordingPlugin(
      lock: { $0.podName.isEmpty ? nil : $0.podName },
      others: [.check: { _ throws(CNIError) in door.pass() }])
    let daemon = try TestDaemon([plugin])
    for container in ["one", "two"] {
      #expect(try await daemon.send(CNICall("ADD", container: container)).status == 200)
    }
    let check = daemon.start(CNICall("CHECK", container: "one"))
    #expect(await plugin.hasCalls(.check))
    for file in daemon.files { try Files.remove(daemon.directory("state/attachments/\(file)")) }
    let deletion = daemon.start(CNICall("DEL", container: "two", args: nil))
    #expect(try await becomes { daemon.server.load.waiting == 1 })
    #expect(plugin.calls(.delete).isEmpty)
    door.open()
    #expect(try await deletion.value.status == 200)
    #expect(try await check.value.status == 200)
  }

  @Test("a lock is known again when the records are read at a start")
  func lockAfterStart() throws {
    let directory = try TemporaryDirectory()
    let key = AttachmentKey(network: "net", containerID: "c", ifName: "eth0", plugin: "recorder")
    let plugin = RecordingPlugin(lock: { $0.podName })
    let registry = PluginRegistry.assemble([plugin], host: try .ofTests()).registry
    for start in 0..<2 {
      let log = try Log(Configuration())
      let store = try AttachmentStore(
        stateDirectory: directory(""), log: log, lock: { registry.lock(of: $0) })
      if start == 0 {
        var record = AttachmentRecord(container: "c")
        record.environment = ["CNI_ARGS": "K8S_POD_NAMESPACE=n;K8S_POD_NAME=web-0"]
        try store.write(record)
      }
      #expect(store.lock(of: key) == "web-0")
    }
  }
}
