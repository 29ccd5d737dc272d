import CNI
import Daemon
import JSON
import Linux
import PluginKit
import Records
import Testing
import TestSupport

@Suite("CommandHandler: GC")
struct GarbageCollectionTests {
  private let plugin = RecordingPlugin()

  private func attached(_ calls: [CNICall]) async throws -> TestDaemon {
    let daemon = try TestDaemon([plugin])
    for call in calls { #expect(try await daemon.send(call).status == 200) }
    return daemon
  }

  @Test(
    "what is not listed is deleted by its record, what is listed is untouched; both keys count",
    arguments: ["cni.dev/valid-attachments", "cni.dev/attachments"])
  func oneOfTwo(key: String) async throws {
    let daemon = try await attached([
      CNICall(container: "stays"), CNICall(container: "goes", netns: "/its/netns", args: "A=b"),
    ])
    let kept = daemon.record("stays")
    let answer = try await daemon.send(.garbageCollection([("stays", "eth0")], key: key))
    #expect(answer.status == 200)
    #expect(answer.body.isEmpty)
    #expect(daemon.record("goes") == nil)
    #expect(daemon.record("stays") == kept)
    let removed = plugin.calls(.delete)
    #expect(removed.map(\.request.sandboxID) == ["goes"])
    #expect(removed.first?.configuration == CNICall.network)
    #expect(removed.first?.request.netns == "/its/netns")
    #expect(removed.first?.request.arguments["A"] == "b")
    #expect(removed.first?.request.environment["CNI_COMMAND"] == "DEL")
    #expect(removed.first?.request.environment["CNI_CONTAINERID"] == "goes")
    let swept = try #require(plugin.calls(.garbageCollect).first)
    #expect(swept.valid == [.init(containerID: "stays", ifName: "eth0")])
  }

  @Test(
    "nothing of a container that the list names goes, whatever the interface, but with gcLiving",
    arguments: [false, true])
  func otherInterface(isStrict: Bool) async throws {
    let daemon = try await attached([CNICall(container: "a"), CNICall(container: "b")])
    let valid = [("a", "eth1"), ("b", "eth0")]
    let call = CNICall.garbageCollection(valid, isStrict: isStrict)
    #expect(try await daemon.send(call).status == 200)
    #expect((daemon.record("a") == nil) == isStrict)
    #expect(daemon.record("b") != nil)
  }

  @Test("GCs that sweep each other's network go one after the other, and none waits for long")
  func mutual() async throws {
    let inside = Watched((now: 0, most: 0))
    let plugin = RecordingPlugin(
      otherNetworks: ["net", "other"],
      others: [
        .garbageCollect: { _ throws(CNIError) in
          inside.change { ($0.now, $0.most) = ($0.now + 1, max($0.most, $0.now + 1)) }
          Clock.pause(milliseconds: 100)
          inside.change { $0.now -= 1 }
        }
      ])
    let daemon = try TestDaemon([plugin])
    async let one = daemon.send(.garbageCollection([], of: "net"))
    async let other = daemon.send(.garbageCollection([], of: "other"))
    let answers = try await [one, other]
    #expect(answers.map(\.status) == [200, 200])
    #expect(inside.value.most == 1)
  }

  @Test(
    "an attachment that is not listed and lives is kept, told and counted; gcLiving takes it",
    arguments: [false, true])
  func living(isStrict: Bool) async throws {
    let pod = try await TestPod("living")
    let daemon = try await attached([
      CNICall(container: "lives", netns: pod.netns), CNICall(container: "dead"),
    ])
    #expect(try await daemon.send(.garbageCollection([], isStrict: isStrict)).status == 200)
    #expect(daemon.record("dead") == nil)
    #expect((daemon.record("lives") == nil) == isStrict)
    let metrics = try await daemon.send("GET", "/metrics")
    let isCounted = metrics.text.contains("cnid_gc_kept_total{plugin=\"recorder\"} 1\n")
    #expect(isCounted != isStrict)
    #expect(daemon.log.contains("GC kept what its list does not name") != isStrict)
  }

  @Test("null is an empty list, which takes nothing of those that live")
  func null() async throws {
    let pod = try await TestPod("living")
    let daemon = try await attached([
      CNICall(container: "lives", netns: pod.netns), CNICall(container: "dead"),
    ])
    let config =
      #"{"cniVersion":"1.1.0","name":"net","type":"recorder","cni.dev/valid-attachments":null}"#
    #expect(try await daemon.send(CNICall("GC", config)).status == 200)
    #expect(daemon.record("dead") == nil && daemon.record("lives") != nil)
    let swept = try #require(plugin.calls(.garbageCollect).first)
    #expect(swept.valid == [.init(containerID: "lives", ifName: "eth0")])
  }

  @Test("an empty list removes everything of the network, and nothing of another network")
  func emptyList() async throws {
    let daemon = try await attached([
      CNICall(container: "a"), CNICall(container: "b"),
      CNICall("ADD", #"{"name":"other","type":"recorder"}"#, container: "a"),
    ])
    #expect(try await daemon.send(.garbageCollection([])).status == 200)
    #expect(Set(plugin.calls(.delete).map(\.request.sandboxID)) == ["a", "b"])
    #expect(daemon.store.roots(network: "other").count == 1)
    #expect(daemon.store.count == 1)
  }

  @Test(
    "without a list nothing is removed: code 7",
    arguments: [
      #"{"cniVersion":"1.1.0","name":"net","type":"recorder"}"#,
      #"{"cniVersion":"1.1.0","name":"net","type":"recorder","cni.dev/attachments":[{"ifname":"a"}]}"#,
    ])
  func noList(config: String) async throws {
    let daemon = try await attached([CNICall()])
    let answer = try await daemon.send(CNICall("GC", config))
    #expect(answer.code == 7)
    #expect(plugin.calls(.delete).isEmpty)
    #expect(plugin.calls(.garbageCollect).isEmpty)
    #expect(daemon.record() != nil)
  }

  @Test("hot-plugged attachments stay as long as any interface of their container is listed")
  func hotPlugged() async throws {
    let daemon = try await attached([
      CNICall(container: "lives"), CNICall(to: "/delegate", container: "lives", ifName: "net1"),
      CNICall(to: "/delegate", container: "dead", ifName: "net1"),
    ])
    #expect(try await daemon.send(.garbageCollection([("lives", "eth0")])).status == 200)
    #expect(daemon.record("lives", "net1") != nil)
    #expect(daemon.record("dead", "net1") == nil)
    #expect(plugin.calls(.delete).map(\.request.sandboxID) == ["dead"])
  }

  @Test("the plugin's own sweep is told of the hot-plugged ones that stay, in both keys")
  func sweepSpares() async throws {
    let daemon = try await attached([
      CNICall(container: "lives"), CNICall(to: "/delegate", container: "lives", ifName: "net1"),
    ])
    #expect(try await daemon.send(.garbageCollection([("lives", "eth0")])).status == 200)
    let swept = try #require(plugin.calls(.garbageCollect).first)
    #expect(
      swept.valid == [
        .init(containerID: "lives", ifName: "eth0"), .init(containerID: "lives", ifName: "net1"),
      ])
    #expect(try swept.request.configuration.validAttachments() == swept.valid)
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
      #expect(swept.request.configuration.object[key]?.array?.count == 2)
    }
  }

  @Test("one that cannot be removed is reported, stays recorded, and does not keep others")
  func failures() async throws {
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if call.request.sandboxID.hasPrefix("stuck") {
          throw CNIError(.kernel, "\(call.request.sandboxID) is stuck", details: "EBUSY")
        }
      },
      .garbageCollect: { _ throws(CNIError) in throw CNIError(.ipam, "no lock") },
    ])
    let daemon = try TestDaemon([plugin])
    for container in ["stuck", "goes"] {
      #expect(try await daemon.send(CNICall(container: container)).status == 200)
    }
    let answer = try await daemon.send(.garbageCollection([]))
    #expect(answer.code == 100)
    #expect(answer.message == "stuck is stuck; no lock")
    #expect(answer.json.map { $0["details"]?.string } == "EBUSY")
    #expect(daemon.record("stuck")?.phase == .deleting)
    #expect(daemon.record("goes") == nil)
    // Its leases are not free as long as its link may be there.
    #expect(
      plugin.calls(.garbageCollect).first?.valid
        == [.init(containerID: "stuck", ifName: "eth0")])
  }

  @Test("an attachment that is younger than the GC stays")
  func younger() async throws {
    let daemon = try await attached([CNICall(headers: [("X-Cnid-Stamp", CNICall.stamp(100))])])
    let answer = try await daemon.send(
      CNICall.garbageCollection([]).with("X-Cnid-Stamp", CNICall.stamp(50)))
    #expect(answer.status == 200)
    #expect(daemon.record() != nil)
    #expect(plugin.calls(.delete).isEmpty)
    #expect(plugin.calls(.garbageCollect).first?.valid.count == 1)
  }

  @Test("every plugin's attachments in the network go, each by its own plugin")
  func otherPlugins() async throws {
    let other = RecordingPlugin("other")
    let daemon = try TestDaemon([plugin, other])
    let config = #"{"name":"net","type":"other"}"#
    #expect(try await daemon.send(CNICall(container: "a")).status == 200)
    #expect(try await daemon.send(CNICall("ADD", config, container: "b")).status == 200)
    #expect(try await daemon.send(.garbageCollection([])).status == 200)
    #expect(plugin.calls(.delete).map(\.request.sandboxID) == ["a"])
    #expect(other.calls(.delete).map(\.request.sandboxID) == ["b"])
    #expect(other.calls(.garbageCollect).isEmpty)
    #expect(daemon.store.count == 0)
  }
}
