import CNI
@testable import Daemon
import DaemonAPI
import JSON
import Linux
import PluginKit
import Records
import Testing
import TestSupport

/// Records that a daemon finds when it starts.
private struct Left {
  let directory: TemporaryDirectory
  let store: AttachmentStore

  init() throws {
    directory = try TemporaryDirectory()
    try Files.makeDirectories(directory("state"))
    var configuration = Configuration()
    configuration.logFile = directory("log")
    store = try AttachmentStore(
      stateDirectory: directory("state"), log: try Log(configuration))
  }

  /// Writes a record.
  @discardableResult
  func record(
    _ container: String, _ phase: AttachmentRecord.Phase, boot: String? = nil
  ) throws -> AttachmentRecord {
    let stamp = boot.map { Stamp(bootID: $0) } ?? Stamp.now
    var record = AttachmentRecord(
      key: AttachmentKey(
        network: "net", containerID: container, ifName: "eth0", plugin: "recorder"),
      configuration: Array(CNICall.network.utf8),
      environment: [
        "CNI_NETNS": "/some/netns/path", "CNI_COMMAND": "ADD", "CNI_CONTAINERID": container,
        "CNI_ARGS": "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=name", "CNI_PATH": "/some/cni/path",
      ], origin: "cni", requestID: "r-\(container)", stamp: stamp)
    record.phase = phase
    record.plan = [PlannedResource("thing", [("name", "eth0")])]
    if phase == .attached { record.result = RecordingPlugin.result }
    try store.write(record)
    return record
  }
}

@Suite("Recovery at start")
struct RecoveryTests {
  @Test("an ADD that had not ended is undone, a DEL that had begun is done, what is attached stays")
  func phases() async throws {
    let left = try Left()
    try left.record("half", .adding)
    try left.record("going", .deleting)
    try left.record("whole", .attached)
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin], in: left.directory)
    #expect(await plugin.hasCalls(.delete, 2))
    #expect(try await becomes { daemon.files.count == 1 })
    #expect(Set(plugin.calls(.delete).map(\.request.sandboxID)) == ["half", "going"])
    #expect(daemon.record("whole")?.phase == .attached)
    #expect(try await becomes { daemon.log.contains("action=rolled_back container=half") })
    #expect(try await becomes { daemon.log.contains("action=deleted container=going") })
  }

  @Test("the plugin gets the DEL as the runtime would give it, with the plan")
  func request() async throws {
    let left = try Left()
    try left.record("half", .adding)
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin], in: left.directory)
    #expect(await plugin.hasCalls(.delete))
    let call = try #require(plugin.calls(.delete).first)
    #expect(call.request.command == .delete && call.request.environment["CNI_COMMAND"] == "DEL")
    #expect(call.request.netns == "/some/netns/path" && call.request.ifName == "eth0")
    #expect(call.request.podNamespace == "ns" && call.request.podName == "name")
    #expect(call.request.searchPath.last == "/some/cni/path")
    #expect(call.configuration == CNICall.network)
    #expect(call.record?.planned("thing").count == 1 && call.record?.phase == .deleting)
    #expect(try await becomes { daemon.files.isEmpty })
  }

  @Test(
    "after a reboot everything of the last boot goes, without a look at its paths",
    arguments: AttachmentRecord.Phase.allCases)
  func reboot(phase: AttachmentRecord.Phase) async throws {
    let left = try Left()
    try left.record("old", phase, boot: "another-boot")
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin], in: left.directory)
    #expect(await plugin.hasCalls(.delete))
    let request = try #require(plugin.calls(.delete).first).request
    #expect(request.netns == "" && request.environment["CNI_NETNS"] == "")
    #expect(try await becomes { daemon.files.isEmpty })
    #expect(try await becomes { daemon.log.contains("action=rebooted") })
  }

  @Test("what cannot be undone is tried again, and blocks neither readiness nor any attachment")
  func retried() async throws {
    let left = try Left()
    try left.record("half", .adding)
    let isDown = Locked(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if isDown.value, call.record != nil { throw CNIError(.openVSwitch, "no database") }
      }
    ])
    let daemon = try TestDaemon([plugin], in: left.directory)
    #expect(await plugin.hasCalls(.delete))
    #expect(try await daemon.send("GET", "/readyz").status == 200)
    #expect(try await daemon.send(CNICall(container: "other")).status == 200)
    // An ADD of the same attachment puts it aside, until that goes too.
    #expect(try await daemon.send(CNICall(container: "half")).status == 200)
    isDown.withLock { $0 = false }
    #expect(try await daemon.send(CNICall("DEL", container: "half")).status == 200)
    #expect(try await becomes { daemon.store.count == 1 })
  }

  @Test("an ADD waits for the undo of its attachment, others do not")
  func order() async throws {
    let left = try Left()
    try left.record("half", .adding)
    let door = Door()
    let plugin = RecordingPlugin(others: [
      .delete: { _ throws(CNIError) in door.pass() }
    ])
    let daemon = try TestDaemon([plugin], in: left.directory)
    #expect(await plugin.hasCalls(.delete))
    let add = daemon.start(CNICall(container: "half"))
    #expect(try await daemon.send(CNICall(container: "other")).status == 200)
    #expect(plugin.calls(.add).map(\.request.sandboxID) == ["other"])
    door.open()
    #expect(try await add.value.status == 200)
    #expect(daemon.record("half")?.phase == .attached)
  }

  @Test("a record of a plugin that this daemon lacks stays, and is said")
  func unknownPlugin() async throws {
    let left = try Left()
    try left.record("half", .adding)
    let daemon = try TestDaemon([RecordingPlugin("other")], in: left.directory)
    #expect(try await becomes { daemon.log.contains("made by a plugin that this cnid lacks") })
    #expect(daemon.files.count == 1)
  }
}

@Suite("Deletions that a backend keeps waiting")
struct PostponedTests {
  @Test("a DEL succeeds whose backend is down; its record stays until the backend is back")
  func postponed() async throws {
    let isDown = Locked(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if isDown.value { call.postpone("OVSDB is not reachable") }
      }
    ])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    #expect(daemon.record()?.phase == .deleting)
    #expect(daemon.log.contains("missing=\"OVSDB is not reachable\""))
    // A try of the daemon's own has told the same.
    #expect(try await becomes { daemon.log.contains("again_in_s") })
    #expect(daemon.record()?.phase == .deleting)
    isDown.withLock { $0 = false }
    #expect(try await becomes { daemon.record() == nil })
    #expect(plugin.calls(.delete).count >= 3)
  }

  @Test("a DEL that failed is reported, and finished without being asked again")
  func failed() async throws {
    let isBad = Locked(true)
    let plugin = RecordingPlugin(others: [
      .delete: { _ throws(CNIError) in
        if isBad.value { throw CNIError(.kernel, "not now") }
      }
    ])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).message == "not now")
    isBad.withLock { $0 = false }
    #expect(try await becomes { daemon.record() == nil })
  }

  @Test("a spooled DEL is done at once although recovery hangs in all of its places")
  func spooledBesideHanging() async throws {
    let left = try Left()
    for number in 0..<8 { try left.record("half-\(number)", .adding) }
    try left.record("whole", .attached)
    let door = Door()
    defer { door.open() }
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if call.request.sandboxID != "whole" { door.pass() }
      }
    ])
    let daemon = try TestDaemon([plugin], in: left.directory)
    #expect(await plugin.hasCalls(.delete, 4))
    let entry = try #require(
      SpoolEntry(
        Request(
          env: ["CNI_COMMAND": "DEL", "CNI_CONTAINERID": "whole", "CNI_IFNAME": "eth0"],
          config: Array(CNICall.network.utf8)), requestID: "spooled", stamp: Stamp.now))
    let spool = left.directory("run/spool")
    // A name of another kind might be set aside as damaged.
    let temporary = "\(spool)/\(entry.temporaryName)"
    try Files.write(temporary, entry.encoded(), mode: [.write, .create])
    try Files.rename(temporary, "\(spool)/\(entry.fileName)")
    #expect(try await becomes { daemon.record("whole") == nil })
    #expect(daemon.record("half-7")?.phase != nil)
  }
}
