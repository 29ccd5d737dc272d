import CNI
import Daemon
import DaemonAPI
import JSON
import Linux
import Netlink
import PluginKit
import Records
import Testing
import TestSupport

/// An ADD that makes its thing and then fails.
private func failing(_ call: AddCall<RecordingPlugin.Step>) throws(CNIError) -> CNIResult {
  _ = try RecordingPlugin.make(call)
  throw CNIError(.ipam, "no address left")
}

@Suite("CommandHandler: ADD")
struct AddTests {
  @Test("a finished ADD is recorded: phase, bytes, result, plan, variables, request")
  func recorded() async throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    let config = "{ \"cniVersion\":\"0.4.0\", \"name\":\"net\", \"type\":\"recorder\" }"
    let call = CNICall(
      "ADD", config, headers: [("X-Cnid-Request-Id", "r-1"), ("X-Cnid-Stamp", CNICall.stamp(77))])
    #expect(try await daemon.send(call).status == 200)
    let record = try #require(daemon.record())
    #expect(record.phase == .attached)
    #expect(record.configuration == Array(config.utf8))
    #expect(record.result == RecordingPlugin.result)
    #expect(record.plan == [PlannedResource("thing", [("name", "eth0")])])
    var environment = record.environment
    #expect(environment.removeValue(forKey: "CNID_ATTACHMENT")?.count == 32)
    // Of all daemons of the state directory, and of this one.
    #expect(environment.removeValue(forKey: "CNID_DAEMON")?.count == 65)
    #expect(environment == call.env.compactMapValues { $0 })
    #expect(record.origin == "cni")
    #expect(record.requestID == "r-1")
    #expect("\(record.stamp)" == CNICall.stamp(77))
    #expect(daemon.files.count == 1)
  }

  @Test("programs get CNI's variables and the context of a trace, and nothing else of the caller's")
  func variables() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    var call = CNICall("ADD")
    let traced = ["TRACEPARENT": "00-1-2-01", "TRACESTATE": "a=b", "BAGGAGE": "c=d"]
    for (name, value) in traced { call.env[name] = value }
    call.env["SECRET"] = "word"
    #expect(try await daemon.send(call).status == 200)
    let environment = try #require(plugin.calls(.add).first?.request.environment)
    #expect(traced.allSatisfy { environment[$0.key] == $0.value })
    #expect(environment["SECRET"] == nil && environment["CNI_IFNAME"] == "eth0")
  }

  @Test("the endpoint is recorded", arguments: [("/delegate", "delegate"), ("/", "ovn")])
  func origin(path: String, origin: String) async throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    #expect(try await daemon.send(CNICall(to: path)).status == 200)
    #expect(daemon.record()?.origin == origin)
  }

  @Test("while an ADD works its record says so, with the plan")
  func whileAdding() async throws {
    let door = Door()
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      let result = try RecordingPlugin.make(call)
      door.pass()
      return result
    })
    let daemon = try TestDaemon([plugin])
    let answer = daemon.start(CNICall())
    #expect(await door.isReached())
    let record = daemon.record()
    door.open()
    #expect(record?.phase == .adding)
    #expect(record?.plan.count == 1)
    #expect(record?.result == nil)
    #expect(try await answer.value.status == 200)
  }

  @Test("a plugin that records nothing leaves no record")
  func nothingRecorded() async throws {
    let plugin = RecordingPlugin(add: { _ throws(CNIError) in RecordingPlugin.result })
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    #expect(daemon.files.isEmpty)
  }

  @Test("a failed ADD is undone by delete with its record, and no record stays")
  func rolledBack() async throws {
    let plugin = RecordingPlugin(add: failing)
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(CNICall())
    #expect(answer.code == 103)
    #expect(answer.message == "no address left")
    let undo = try #require(plugin.calls(.delete).first)
    #expect(undo.record?.plan == [PlannedResource("thing", [("name", "eth0")])])
    #expect(undo.record?.phase == .deleting)
    #expect(undo.request.command == .delete)
    #expect(undo.request.environment["CNI_COMMAND"] == "DEL")
    #expect(undo.request.netns == "/some/netns/path")
    #expect(undo.configuration == CNICall.network)
    #expect(daemon.files.isEmpty)
    #expect(daemon.store.count == 0)
  }

  @Test("the undo has time of its own, whatever is left of the ADD's")
  func undoTime() async throws {
    let left = Watched(0)
    let plugin = RecordingPlugin(
      add: { call throws(CNIError) in
        let journal = try call.record(plan: [], namespace: nil)
        // The deadline passes here.
        while !call.request.deadline.isOver { Clock.pause(milliseconds: 1) }
        try journal.perform(.make) { _ throws(CNIError) in }
        return CNIResult()
      },
      others: [
        .delete: { call throws(CNIError) in
          left.change { $0 = call.request.deadline.remainingMilliseconds }
          try call.journal.perform(.remove) { _ throws(CNIError) in }
        }
      ])
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(CNICall(headers: [("X-Cnid-Time-Left", "8000")]))
    #expect(answer.code == 105)
    // A slow undo ends after the answer.
    #expect(try await becomes { left.value > 1000 && daemon.files.isEmpty })
  }

  @Test("an ADD that fails before its record is not undone: there is nothing to undo")
  func failedBefore() async throws {
    let plugin = RecordingPlugin(add: { _ throws(CNIError) in
      throw CNIError(.invalidConfiguration, "no")
    })
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 400)
    #expect(plugin.calls(.delete).isEmpty)
    #expect(daemon.files.isEmpty)
  }

  @Test("a result that the caller's version cannot say is a failed ADD, and is undone")
  func inexpressible() async throws {
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      _ = try RecordingPlugin.make(call)
      return CNIResult()
    })
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(
      CNICall("ADD", #"{"cniVersion":"0.2.0","name":"net","type":"recorder"}"#))
    #expect(answer.status == 400)
    #expect(answer.message == "cannot convert: no valid IP addresses")
    #expect(plugin.calls(.delete).count == 1)
    #expect(daemon.files.isEmpty)
  }

  @Test("if the undo fails too the record stays, and the runtime's DEL tries again with it")
  func failedUndo() async throws {
    // Not what the daemon tries by itself: it might be done before the DEL comes.
    let plugin = RecordingPlugin(
      add: failing,
      others: [
        .delete: { call throws(CNIError) in
          if call.request.requestID != "own" { throw CNIError(.kernel, "device busy") }
        }
      ])
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(CNICall())
    // The caller is told of the first failure, the log of the second.
    #expect(answer.message == "no address left")
    #expect(daemon.log.contains("device busy"))
    let record = try #require(daemon.record())
    #expect(record.phase == .deleting)
    let delete = CNICall("DEL").with(RequestHeaders.requestIDName, "own")
    #expect(try await daemon.send(delete).status == 200)
    #expect(plugin.calls(.delete).last?.record?.plan == record.plan)
    #expect(daemon.files.isEmpty)
  }
}

@Suite("CommandHandler: ADD where something is already")
struct RepeatedAddTests {
  private func stamped(_ id: String) throws -> CNICall {
    CNICall(headers: [("X-Cnid-Request-Id", id), ("X-Cnid-Stamp", "\(Stamp.now)")])
  }

  @Test("the same request again gets the recorded result, and the plugin is not called again")
  func sameRequest() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    let call = try stamped("r-1")
    let first = try await daemon.send(call)
    let second = try await daemon.send(call)
    #expect(first.status == 200)
    #expect(second.body == first.body)
    #expect(plugin.calls.value.count == 1)
  }

  @Test("a request id that nobody gave repeats nothing")
  func noRequestID() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    #expect(try await daemon.send(CNICall()).status == 400)
  }

  @Test("a second ADD of a living attachment is refused and changes nothing")
  func living() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(stamped("r-1")).status == 200)
    let before = daemon.record()
    let answer = try await daemon.send(stamped("r-2"))
    #expect(answer.code == 4)
    #expect(
      answer.message
        == "the attachment some-container-id/eth0 (net, recorder) exists already; "
        + "DEL it before another ADD")
    #expect(plugin.calls.value.count == 1)
    #expect(daemon.record() == before)
  }

  @Test("what a dead or failed ADD left is undone first, by its own record")
  func leftover() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    var old = AttachmentRecord(container: "some-container-id")
    old.configuration = Array(#"{"name":"net","old":1}"#.utf8)
    old.environment = ["CNI_NETNS": "/old/netns", "CNI_ARGS": "A=b", "CNI_COMMAND": "ADD"]
    old.plan = [PlannedResource("old", [])]
    try daemon.store.write(old)
    #expect(try await daemon.send(stamped("r-2")).status == 200)
    #expect(plugin.calls.value.map(\.command) == [.delete, .add])
    let undo = try #require(plugin.calls(.delete).first)
    #expect(undo.record?.plan == old.plan)
    #expect(undo.configuration == #"{"name":"net","old":1}"#)
    #expect(undo.request.netns == "/old/netns")
    #expect(undo.request.environment["CNI_COMMAND"] == "DEL")
    #expect(undo.request.arguments["A"] == "b")
    #expect(daemon.record()?.requestID == "r-2")
  }

  @Test("what cannot be undone is put aside for a new ADD, counted, told, and undone after its DEL")
  func stuckLeftover() async throws {
    let isStuck = Watched(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if call.record?.requestID == "r-1", isStuck.value {
          throw CNIError(.ipam, "backend broken")
        }
      }
    ])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(stamped("r-1")).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).status == 400)
    #expect(try await daemon.send(stamped("r-2")).status == 200)
    #expect(daemon.record()?.requestID == "r-2")
    #expect(daemon.files.count == 2)
    #expect(daemon.log.contains("left from an earlier ADD: backend broken"))
    let metrics = try await daemon.send("GET", "/metrics")
    #expect(metrics.text.contains("cnid_leftovers{plugin=\"recorder\"} 1\n"))
    // Its marks are the new one's too: nothing is undone while that is there.
    let undos = plugin.calls(.delete).count
    isStuck.change { $0 = false }
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    #expect(try await becomes { daemon.files.isEmpty })
    let last = plugin.calls(.delete).dropFirst(undos).compactMap { $0.record?.requestID }
    #expect(last == ["r-2", "r-1"])
  }

  @Test("a new ADD that fails says what an earlier one has left, which is kept once")
  func failsBesideLeftover() async throws {
    let isFailing = Watched(false)
    let plugin = RecordingPlugin(
      add: { call throws(CNIError) in
        let result = try RecordingPlugin.make(call)
        if isFailing.value { throw CNIError(.ipam, "no backend") }
        return result
      },
      others: [.delete: { _ throws(CNIError) in throw CNIError(.ipam, "backend broken") }])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(stamped("r-1")).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).status == 400)
    isFailing.change { $0 = true }
    for id in ["r-2", "r-3", "r-4"] {
      let answer = try await daemon.send(stamped(id))
      #expect(answer.message == "no backend")
      let details = answer.json.flatMap { $0["details"]?.string }
      #expect(details == "left from an earlier ADD: backend broken")
    }
    #expect(daemon.files.count == 2)
  }

  @Test("what an ADD has left is forgotten when its file is removed")
  func forgottenLeftover() async throws {
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if call.record?.requestID == "r-1" { throw CNIError(.ipam, "backend broken") }
      }
    ])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(stamped("r-1")).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).status == 400)
    #expect(try await daemon.send(stamped("r-2")).status == 200)
    let own = try #require(daemon.record()).key
    let left = try #require(daemon.store.summaries.keys.first { $0 != own })
    try Files.remove(daemon.store.file(of: left))
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    #expect(try await becomes { daemon.store.count == 0 })
  }

  @Test("an attachment of another boot is undone, not in the way")
  func otherBoot() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    var old = AttachmentRecord(container: "some-container-id", boot: "another-boot")
    old.phase = .attached
    try daemon.store.write(old)
    #expect(try await daemon.send(stamped("r-2")).status == 200)
    #expect(plugin.calls.value.map(\.command) == [.delete, .add])
  }

  @Test("another namespace behind the same ids means that the old attachment is gone")
  func otherNamespace() async throws {
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      let namespace = try mapped { () throws(SystemError) in
        try NetworkNamespace(path: call.request.netns)
      }
      let cookie = try mapped { () throws(NetlinkError) in try namespace.cookie() }
      _ = try call.record(plan: [], namespace: NamespaceIdentity(cookie: cookie))
      return CNIResult()
    })
    let daemon = try TestDaemon([plugin])
    let (one, two) = (try await TestNamespace(), try await TestNamespace())
    #expect(try await daemon.send(CNICall(netns: one.path)).status == 200)
    #expect(try await daemon.send(CNICall(netns: one.path)).code == 4)
    #expect(try await daemon.send(CNICall(netns: two.path)).status == 200)
    #expect(plugin.calls(.delete).map(\.request.netns) == [one.path])
  }

  @Test("other interfaces, containers, networks and plugins are other attachments")
  func others() async throws {
    let plugins = [RecordingPlugin(), RecordingPlugin("two")]
    let daemon = try TestDaemon(plugins)
    for call in [
      CNICall(), CNICall(container: "other"), CNICall(ifName: "net1"),
      CNICall("ADD", #"{"name":"net2","type":"recorder"}"#),
      CNICall("ADD", #"{"name":"net","type":"two"}"#),
    ] {
      #expect(try await daemon.send(call).status == 200)
    }
    #expect(daemon.files.count == 5)
    #expect(daemon.store.count == 5)
  }
}
