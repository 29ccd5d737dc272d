import CNI
import Daemon
import DaemonAPI
import JSON
import Linux
import PluginKit
import Records
import Testing
import TestSupport

@Suite("CommandHandler: DEL")
struct DeleteTests {
  private let plugin = RecordingPlugin()

  @Test("the plugin gets the record and the ADD's exact bytes, and the record goes")
  func recorded() async throws {
    let daemon = try TestDaemon([plugin])
    let config = "{\"cniVersion\":\"1.1.0\", \"name\":\"net\",\"type\":\"recorder\",\"mtu\":1400}"
    #expect(try await daemon.send(CNICall("ADD", config)).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    let call = try #require(plugin.calls(.delete).first)
    #expect(call.configuration == config)
    #expect(call.record?.result == RecordingPlugin.result)
    #expect(call.record?.phase == .deleting)
    #expect(daemon.files.isEmpty)
    #expect(daemon.store.count == 0)
  }

  @Test("A stamp later than now counts as now: a later DEL is obeyed, an earlier one is not")
  func future() async throws {
    let daemon = try TestDaemon([plugin])
    let (before, hour) = (KernelClock.boot, UInt64(3_600_000_000_000))
    var add = CNICall()
    add.headers = [("X-Cnid-Stamp", CNICall.stamp(before + hour))]
    #expect(try await daemon.send(add).status == 200)
    var delete = CNICall("DEL")
    delete.headers = [("X-Cnid-Stamp", CNICall.stamp(before))]
    #expect(try await daemon.send(delete).status == 200)
    #expect(plugin.calls(.delete).isEmpty && daemon.record() != nil)
    delete.headers = [("X-Cnid-Stamp", CNICall.stamp(KernelClock.boot))]
    #expect(try await daemon.send(delete).status == 200)
    #expect(plugin.calls(.delete).count == 1 && daemon.record() == nil)
  }

  @Test("the record's plugin is asked, whatever the configuration says now")
  func recordsPlugin() async throws {
    let other = RecordingPlugin("other")
    let daemon = try TestDaemon([plugin, other])
    #expect(try await daemon.send(CNICall()).status == 200)
    for config in [#"{"name":"net","type":"other"}"#, #"{"name":"net","type":"unknown"}"#] {
      #expect(try await daemon.send(CNICall("CHECK", config)).status == 400)
    }
    let answer = try await daemon.send(
      CNICall("DEL", #"{"cniVersion":"9.9.9","name":"net","type":"other","x":1}"#))
    #expect(answer.status == 200)
    #expect(plugin.calls(.delete).first?.configuration == CNICall.network)
    #expect(other.calls.value.isEmpty)
  }

  @Test("of an interface's several records the configuration's choice is meant")
  func severalRecords() async throws {
    let other = RecordingPlugin("other")
    let daemon = try TestDaemon([plugin, other])
    let second = #"{"name":"net","type":"other"}"#
    #expect(try await daemon.send(CNICall()).status == 200)
    #expect(try await daemon.send(CNICall("ADD", second)).status == 200)
    #expect(try await daemon.send(CNICall("DEL", second)).status == 200)
    #expect(other.calls(.delete).count == 1)
    #expect(plugin.calls(.delete).isEmpty)
    #expect(daemon.record() != nil)
  }

  @Test("the caller's prevResult is put into the recorded configuration")
  func previousResult() async throws {
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let config = #"{"name":"net","type":"x","y":1,"prevResult":{"cniVersion":"1.1.0"}}"#
    #expect(try await daemon.send(CNICall("DEL", config)).status == 200)
    #expect(
      plugin.calls(.delete).first?.configuration
        == #"{"cniVersion":"1.1.0","name":"net","type":"recorder","prevResult":{"cniVersion":"1.1.0"}}"#
    )
  }

  @Test(
    "faults of the configuration do not matter to a DEL whose record knows everything",
    arguments: [
      #""prevResult":"x""#, #""prevResult":{"ips":5}"#, #""ipam":5"#, #""dns":[],"type":7"#,
      #""plugin":1"#, #""runtimeConfig":"y","args":{"cni":1}"#,
    ])
  func malformed(members: String) async throws {
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let config = #"{"cniVersion":"1.1.0","name":"net",\#(members)}"#
    #expect(try await daemon.send(CNICall("DEL", config)).status == 200)
    let call = try #require(plugin.calls(.delete).first)
    #expect(call.configuration == CNICall.network)
    #expect(daemon.files.isEmpty)
  }

  @Test("without a record a configuration that cannot be read is told, and keeps no pod")
  func malformedUnrecorded() async throws {
    let daemon = try TestDaemon([plugin])
    let config = #"{"cniVersion":"1.1.0","name":"net","type":"recorder","ipam":5}"#
    #expect(try await daemon.send(CNICall("ADD", config)).code == 6)
    #expect(try await daemon.send(CNICall("DEL", config)).status == 200)
    #expect(daemon.log.contains("DEL has nothing to remove: there is no record, and the network's"))
    #expect(plugin.calls.value.isEmpty)
  }

  @Test("what cnid.json spoils for ADDs does not spoil DELs", arguments: [true, false])
  func spoilt(byOverrides: Bool) async throws {
    let spoiling = JSONObject([("ipam", 5)])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    try daemon.reload { configuration in
      if byOverrides {
        configuration.overrides = spoiling
      } else {
        configuration.plugins = ["recorder": spoiling]
      }
    }
    #expect(try await daemon.send(CNICall(container: "c2")).code == 6)
    #expect(try await daemon.send(CNICall("DEL", container: "c2")).status == 200)
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    #expect(daemon.files.isEmpty)
  }

  @Test("DEL of a network that no plugin serves, without a record, warns and succeeds")
  func unserved() async throws {
    let daemon = try TestDaemon([plugin])
    let config = #"{"cniVersion":"1.1.0","name":"net","type":"cni-shim","plugin":"macvlann"}"#
    #expect(try await daemon.send(CNICall("DEL", config)).status == 200)
    #expect(daemon.log.contains("DEL has nothing to remove"))
    #expect(try await daemon.send(CNICall("CHECK", config)).code == 7)
  }

  @Test("what a DEL without a record could not do is recorded, and done without the record's help")
  func postponedUnrecorded() async throws {
    let isAway = Watched(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in if isAway.value { call.postpone("nobody is there") } }
    ])
    let daemon = try TestDaemon([plugin])
    for _ in 0..<2 { #expect(try await daemon.send(CNICall("DEL")).status == 200) }
    #expect(daemon.record()?.phase == .deleting)
    #expect(plugin.calls(.delete).allSatisfy { $0.record == nil })
    isAway.change { $0 = false }
    #expect(try await becomes { daemon.files.isEmpty })
    #expect(plugin.calls(.delete).allSatisfy { $0.record == nil })
  }

  @Test("without a record the configuration's plugin is asked, again and again")
  func withoutRecord() async throws {
    let daemon = try TestDaemon([plugin])
    for _ in 0..<2 { #expect(try await daemon.send(CNICall("DEL")).status == 200) }
    #expect(plugin.calls(.delete).map { $0.record == nil } == [true, true])
    #expect(plugin.calls(.delete).first?.configuration == CNICall.network)
  }

  @Test("a failed DEL is an error, keeps the record and can be repeated")
  func failed() async throws {
    let isBusy = Watched(true)
    let plugin = RecordingPlugin(others: [
      .delete: { _ throws(CNIError) in
        if isBusy.value { throw CNIError(.kernel, "device busy") }
      }
    ])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let answer = try await daemon.send(CNICall("DEL"))
    #expect(answer.code == 100)
    #expect(daemon.record()?.phase == .deleting)
    isBusy.change { $0 = false }
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    #expect(daemon.files.isEmpty)
  }

  @Test("a DEL that is still to be done waits as long as another network has the interface")
  func otherNetwork() async throws {
    let isAway = Watched(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in if isAway.value { call.postpone("nobody is there") } }
    ])
    let daemon = try TestDaemon([plugin])
    let (a, b) = (#"{"name":"a","type":"recorder"}"#, #"{"name":"b","type":"recorder"}"#)
    func networks() -> [String] { plugin.calls(.delete).map(\.request.configuration.name) }
    #expect(try await daemon.send(CNICall("ADD", a)).status == 200)
    #expect(try await daemon.send(CNICall("DEL", a)).status == 200)
    #expect(try await daemon.send(CNICall("ADD", b)).status == 200)
    #expect(daemon.log.contains("when the new attachment of this interface is gone"))
    isAway.change { $0 = false }
    let before = networks().count
    // Longer than the first pauses of what is tried again.
    try await Task.sleep(for: .milliseconds(1500))
    #expect(networks().count == before)
    #expect(try await daemon.send(CNICall("DEL", b)).status == 200)
    #expect(try await becomes { daemon.files.isEmpty })
    #expect(networks().suffix(2) == ["b", "a"])
  }

  @Test("a failed DEL has no words that containerd takes for success")
  func notSuccess() async throws {
    let plugin = RecordingPlugin(others: [
      .delete: { _ throws(CNIError) in
        throw CNIError(
          .ipam, "pool x not found", details: "y: no such file or directory, not found")
      }
    ])
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(CNICall("DEL"))
    #expect(answer.code == 103 && answer.message == "pool x missing", "\(answer)")
    #expect(!"\(answer)".contains("not found") && !"\(answer)".contains("no such file or"))
  }

  @Test("a DEL older than the ADD touches nothing")
  func older() async throws {
    let daemon = try TestDaemon([plugin])
    func stamped(_ command: String, _ nanoseconds: UInt64) -> CNICall {
      CNICall(command, headers: [("X-Cnid-Stamp", CNICall.stamp(nanoseconds))])
    }
    #expect(try await daemon.send(stamped("ADD", 100)).status == 200)
    let record = daemon.record()
    #expect(try await daemon.send(stamped("DEL", 99)).status == 200)
    #expect(plugin.calls(.delete).isEmpty)
    #expect(daemon.record() == record)
    #expect(try await daemon.send(stamped("DEL", 100)).status == 200)
    #expect(plugin.calls(.delete).count == 1)
    #expect(daemon.files.isEmpty)
  }

  @Test("a DEL without a record is done beside a newer one that still has to be done")
  func besidePostponed() async throws {
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if call.request.configuration.name == "b" { call.postpone("nobody is there") }
      }
    ])
    let daemon = try TestDaemon([plugin])
    func delete(_ network: String, _ nanoseconds: UInt64) -> CNICall {
      CNICall(
        "DEL", #"{"name":"\#(network)","type":"recorder"}"#,
        headers: [("X-Cnid-Stamp", CNICall.stamp(nanoseconds))])
    }
    #expect(try await daemon.send(delete("b", 100)).status == 200)
    #expect(try await daemon.send(delete("a", 99)).status == 200)
    #expect(plugin.calls(.delete).contains { $0.request.configuration.name == "a" })
  }

  @Test("a caller that says it is of another boot lives in this one: its DEL counts as new")
  func otherBoot() async throws {
    let daemon = try TestDaemon([plugin])
    #expect(
      try await daemon.send(CNICall(headers: [("X-Cnid-Stamp", "old:900")])).status == 200)
    #expect(
      try await daemon.send(CNICall("DEL", headers: [("X-Cnid-Stamp", "new:1")])).status == 200)
    #expect(plugin.calls(.delete).count == 1)
  }

  @Test("a record whose plugin is not there any more is an error that names it")
  func lostPlugin() async throws {
    let daemon = try TestDaemon([RecordingPlugin("other")])
    try daemon.store.write(AttachmentRecord(container: "some-container-id"))
    let answer = try await daemon.send(CNICall("DEL", #"{"name":"net","type":"other"}"#))
    #expect(answer.code == 7)
    #expect(
      answer.message
        == "the attachment some-container-id/eth0 (net, recorder) was made by a plugin that "
        + "this cnid lacks")
    #expect(daemon.files.count == 1)
  }

  @Test("a record that was damaged meanwhile is set aside, and DEL works without it")
  func damaged() async throws {
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let file = try #require(daemon.files.first)
    try Files.write(
      daemon.directory("state/attachments/\(file)"), Array("{".utf8), mode: [.write, .truncate])
    // The plugin is still the one that made it.
    let answer = try await daemon.send(CNICall("DEL", #"{"name":"net","type":"unknown"}"#))
    #expect(answer.status == 200)
    #expect(plugin.calls(.delete).map { $0.record == nil } == [true])
    #expect(daemon.files == ["\(file).damaged"])
    #expect(daemon.store.count == 0)
    #expect(daemon.log.contains("a damaged record was set aside"))
  }
}

@Suite("CommandHandler: CHECK and UPDATE")
struct CheckAndUpdateTests {
  private let plugin = RecordingPlugin()

  @Test("CHECK gets the record and the ADD's configuration with the caller's prevResult")
  func check() async throws {
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let config = #"{"cniVersion":"1.1.0","name":"net","type":"recorder","prevResult":{"ips":[]}}"#
    #expect(try await daemon.send(CNICall("CHECK", config)).status == 200)
    let call = try #require(plugin.calls(.check).first)
    #expect(call.record?.phase == .attached)
    #expect(
      call.configuration
        == #"{"cniVersion":"1.1.0","name":"net","type":"recorder","prevResult":{"ips":[]}}"#)
    #expect(daemon.record()?.phase == .attached)
  }

  @Test("CHECK's error is passed on and changes nothing")
  func failedCheck() async throws {
    let plugin = RecordingPlugin(others: [
      .check: { _ throws(CNIError) in throw CNIError(.kernel, "eth0 is gone") }
    ])
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    #expect(try await daemon.send(CNICall("CHECK")).message == "eth0 is gone")
    #expect(daemon.record()?.phase == .attached)
  }

  @Test("UPDATE gets record and new configuration, and rewrites the record with both")
  func update() async throws {
    var updated = RecordingPlugin.result
    updated.ips = []
    let result = updated
    let plugin = RecordingPlugin(update: { _ throws(CNIError) in result })
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let before = try #require(daemon.record())
    let config = #"{"cniVersion":"1.0.0","name":"net","type":"recorder","mtu":1300}"#
    let answer = try await daemon.send(CNICall("UPDATE", config))
    #expect(answer.json.map { $0["Result"]?["cniVersion"]?.string } == "1.0.0")
    let call = try #require(plugin.calls(.update).first)
    #expect(call.configuration == config)
    #expect(call.record == before)
    var expected = before
    expected.configuration = Array(config.utf8)
    expected.result = result
    #expect(daemon.record() == expected)
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
    #expect(plugin.calls(.delete).first?.configuration == config)
  }

  @Test("a failed UPDATE leaves the record as it was")
  func failedUpdate() async throws {
    let plugin = RecordingPlugin(update: { _ throws(CNIError) in throw CNIError(.kernel, "no") })
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall()).status == 200)
    let before = daemon.record()
    let config = #"{"cniVersion":"1.0.0","name":"net","type":"recorder","mtu":1300}"#
    #expect(try await daemon.send(CNICall("UPDATE", config)).code == 100)
    #expect(daemon.record() == before)
  }
}
