import Addresses
import CNI
import ExamplePlugin
import JSON
import Linux
import PluginKit
import Testing
import TestSupport

/// A node, a pod, and the documentation's plugin.
private final class Bench: Sendable {
  let (node, pod): (TestNamespace, TestNamespace)
  let plugin = CablePlugin()
  let store = MemoryStore()
  let directory: TemporaryDirectory
  private let host: PluginHost

  init() async throws {
    (node, pod) = (try await TestNamespace(), try await TestNamespace())
    directory = try TemporaryDirectory()
    host = try PluginKitTests.host(leases: directory("networks"))
  }

  /// The leases of host-local.
  var leases: [String] {
    TemporaryDirectory.files(below: directory("networks")).filter { $0.contains("10.9.") }
  }

  func add(_ members: String = "") async throws -> (CNIResult, AttachmentRecord) {
    let request = try podRequest(.add, members)
    let call = AddCall<CablePlugin.Step>(
      host: host, request: request, draft: draft(request, plugin: plugin.name), store: store,
      progress: CallProgress())
    let result = try await node.run { try self.plugin.add(call) }
    guard var record = call.recorded else { throw TestError("no record") }
    record.result = result
    return (result, record)
  }

  func delete(_ record: AttachmentRecord?, netns: String? = nil) async throws {
    let call = try call(.delete, record, netns: netns)
    try await node.run { try self.plugin.delete(call) }
  }

  func checkFailure(_ record: AttachmentRecord) async throws -> CNIError? {
    let previous = String(
      decoding: try record.result?.json(as: .newest).bytes ?? [], as: UTF8.self)
    let call = try call(.check, record, #""prevResult":\#(previous),"#)
    return try await node.run {
      failure { () throws(CNIError) in try self.plugin.check(call) }
    }
  }

  private func podRequest(
    _ command: CNICommand, _ members: String = "", netns: String? = nil
  ) throws -> PodRequest {
    let ipam = #""ipam":{"type":"host-local","subnet":"10.9.0.0/24"}"#
    return request(command, try configuration(members + ipam), netns: netns ?? pod.path)
  }

  private func call(
    _ command: CNICommand, _ record: AttachmentRecord?, _ members: String = "",
    netns: String? = nil
  ) throws -> PluginCall<CablePlugin.Step> {
    PluginCall(
      host: host, plugin: plugin.name,
      request: try podRequest(command, members, netns: netns), record: record,
      progress: CallProgress())
  }
}

@Suite("PluginKit: the documentation's example plugin")
struct ExamplePluginTests {
  @Test("the documentation shows the code of the plugin that is tested here")
  func sameCode() throws {
    let package = Program.packageDirectory
    let code = try Files.read("\(package)/Tests/Plugins/ExamplePlugin/ExamplePlugin.swift")
    let page = try Files.read("\(package)/Sources/Plugins/PluginKit/PluginKit.docc/PluginKit.md")
    #expect(
      String(decoding: page, as: UTF8.self).contains(
        "```swift\n" + String(decoding: code, as: UTF8.self) + "```\n"))
  }

  @Test("a plugin takes less than 60 lines, blank ones aside")
  func length() throws {
    let path = "\(Program.packageDirectory)/Tests/Plugins/ExamplePlugin/ExamplePlugin.swift"
    // Runs of line ends count once.
    #expect(try Files.read(path).split(separator: 0x0A).count < 60)
  }

  @Test("ADD lays the cable with its mark and an address; DEL takes both away, twice")
  func addAndDelete() async throws {
    let bench = try await Bench()
    let (result, record) = try await bench.add()
    #expect(result.ips.map(\.address.description) == ["10.9.0.2/24"])
    #expect(try await bench.pod.link("eth0")?["ifalias"]?.string == "cnid:box/eth0")
    #expect(try await bench.pod.addresses("eth0") == ["10.9.0.2/24"])
    #expect(bench.leases.count == 1)
    for _ in 0..<2 {
      try await bench.delete(record)
      #expect(try await bench.pod.links().isEmpty)
      #expect(try await bench.node.links().isEmpty)
      #expect(bench.leases.isEmpty)
    }
  }

  @Test("CHECK finds an address that has gone")
  func check() async throws {
    let bench = try await Bench()
    let (_, record) = try await bench.add()
    #expect(try await bench.checkFailure(record) == nil)
    try await bench.pod.ip("address del 10.9.0.2/24 dev eth0")
    #expect(
      try await bench.checkFailure(record)
        == CNIError(.kernel, "Failed to match addr 10.9.0.2/24 on interface eth0"))
  }

  @Test("DEL finds the link by its mark when no path leads there, and without a record")
  func byMark() async throws {
    let bench = try await Bench()
    let (_, record) = try await bench.add()
    try await bench.delete(record, netns: "/nowhere")
    #expect(try await bench.pod.links().isEmpty)
    _ = try await bench.add()
    try await bench.delete(nil)
    #expect(try await bench.pod.links().isEmpty)
  }

  @Test("DEL leaves another's link behind the same path alone")
  func reusedPath() async throws {
    let (bench, other) = (try await Bench(), try await TestNamespace())
    let (_, record) = try await bench.add()
    try await other.ip("link add eth0 type veth peer name far")
    try await bench.delete(record, netns: other.path)
    #expect(try await other.links() == ["eth0", "far"])
  }

  @Test("ADD of an interface that is there changes and records nothing")
  func existing() async throws {
    let bench = try await Bench()
    try await bench.pod.ip("link add eth0 type bridge")
    let error = await #expect(throws: CNIError.self) { try await bench.add() }
    #expect(error?.code == .invalidEnvironment)
    #expect(bench.store.written.isEmpty && bench.leases.isEmpty)
  }
}
