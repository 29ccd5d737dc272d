import CNI
import JSON
import Linux
import PluginKit
import Testing
import TestSupport

/// A pod's namespace with a veth link `eth0` of MTU 1500, and the documentation's plugin.
private final class Pod: Sendable {
  let namespace: TestNamespace
  let plugin = MTUPlugin()
  let store = MemoryStore()

  init() async throws {
    namespace = try await TestNamespace()
    try await namespace.ip("link add eth0 mtu 1500 type veth peer name outside")
  }

  func mtu() async throws -> Int? { try await namespace.link("eth0")?["mtu"]?.int }

  func add(mtu: Int = 1400) async throws -> (CNIResult, AttachmentRecord) {
    let request = try podRequest(.add, mtu: mtu)
    let call: AddCall<MTUPlugin.Step> = addCall(request, plugin: plugin.name, store: store)
    let result = try await onThread { () throws(CNIError) in try self.plugin.add(call) }
    guard let record = call.recorded else { throw TestError("no record") }
    return (result, record)
  }

  func delete(_ record: AttachmentRecord?, netns: String? = nil) async throws {
    let call = try call(.delete, record, netns: netns)
    try await onThread { () throws(CNIError) in try self.plugin.delete(call) }
  }

  func checkFailure(_ record: AttachmentRecord?) async throws -> CNIError? {
    let call = try call(.check, record)
    return await onThread {
      failure { () throws(CNIError) in try self.plugin.check(call) }
    }
  }

  private func podRequest(
    _ command: CNICommand, mtu: Int = 1400, netns: String? = nil
  ) throws -> PodRequest {
    let previous = #"{"ips":[{"address":"10.0.0.1/8"}]}"#
    return request(
      command, try configuration(#""mtu":\#(mtu),"prevResult":\#(previous)"#),
      netns: netns ?? namespace.path)
  }

  private func call(
    _ command: CNICommand, _ record: AttachmentRecord?, netns: String? = nil
  ) throws -> PluginCall<MTUPlugin.Step> {
    PluginCall(
      plugin: plugin.name, request: try podRequest(command, netns: netns), record: record,
      progress: CallProgress())
  }
}

@Suite("PluginKit: the documentation's example plugin")
struct ExamplePluginTests {
  @Test("the documentation shows the code of the plugin that is tested here")
  func sameCode() throws {
    let package = Program.packageDirectory
    let code = try Files.read("\(package)/Tests/Plugins/PluginKitTests/ExamplePlugin.swift")
    let page = try Files.read("\(package)/Sources/Plugins/PluginKit/PluginKit.docc/PluginKit.md")
    #expect(
      String(decoding: page, as: UTF8.self).contains(
        "```swift\n" + String(decoding: code, as: UTF8.self) + "```\n"))
  }

  @Test("ADD records what was, sets the MTU and hands the result on; DEL sets it back, twice")
  func addAndDelete() async throws {
    let pod = try await Pod()
    let (result, record) = try await pod.add()
    #expect(result.ips.count == 1)
    #expect(try await pod.mtu() == 1400)
    #expect(record.planned("mtu").first?.values["before"]?.int == 1500)
    try await pod.delete(record)
    #expect(try await pod.mtu() == 1500)
    try await pod.delete(record)
    #expect(try await pod.mtu() == 1500)
  }

  @Test("CHECK finds a changed MTU")
  func check() async throws {
    let pod = try await Pod()
    let (_, record) = try await pod.add()
    #expect(try await pod.checkFailure(record) == nil)
    try await pod.namespace.ip("link set eth0 mtu 1300")
    #expect(
      try await pod.checkFailure(record)
        == CNIError(.kernel, "eth0 has MTU 1300, expected 1400"))
  }

  @Test("DEL succeeds without a record, without a namespace, and without the link")
  func nothingThere() async throws {
    let pod = try await Pod()
    let (_, record) = try await pod.add()
    try await pod.delete(nil)
    try await pod.delete(record, netns: "/nowhere")
    try await pod.namespace.ip("link del eth0")
    try await pod.delete(record)
  }

  @Test("DEL leaves another namespace behind the same path alone")
  func reusedPath() async throws {
    let (pod, other) = (try await Pod(), try await Pod())
    let (_, record) = try await pod.add()
    try await other.namespace.ip("link set eth0 mtu 1200")
    try await pod.delete(record, netns: other.namespace.path)
    #expect(try await other.mtu() == 1200)
  }

  @Test("ADD of nonsense changes and records nothing")
  func nonsense() async throws {
    let pod = try await Pod()
    await #expect(throws: CNIError.self) { try await pod.add(mtu: 1) }
    #expect(try await pod.mtu() == 1500)
    #expect(pod.store.written.isEmpty)
  }
}
