import Addresses
import CNI
import JSON
import Linux
import PluginKit
import TestSupport
import Testing

@Suite("NetworkPlugin: what a plugin gets for nothing")
struct PluginDefaultsTests {
  private func call(
    _ command: CNICommand, record: AttachmentRecord? = nil
  ) throws -> PluginCall<NamedPlugin.Step> {
    PluginCall(
      host: try host(), plugin: "p", request: request(command, try configuration()), record: record,
      progress: CallProgress())
  }

  @Test("it has no aliases, needs no pod's name, can nothing special and is ready")
  func nothing() throws {
    let plugin = NoopPlugin()
    #expect(plugin.aliases.isEmpty)
    #expect(!plugin.needsPodIdentity(try configuration()))
    #expect(plugin.capabilities.isEmpty)
    plugin.event(PluginEvent(name: PluginEvent.podCIDRChange, details: JSONObject()))
    try NamedPlugin("p").status(call(.status))
    try NamedPlugin("p").garbageCollect(call(.garbageCollect), valid: [])
  }

  @Test("UPDATE is refused with code 4 and the plugin's name")
  func update() throws {
    let call = try call(.update)
    let error = failure { () throws(CNIError) in try NamedPlugin("p").update(call) }
    #expect(error == CNIError(.invalidEnvironment, "plugin p does not support UPDATE"))
  }

  @Test("a pod's addresses are those of the recorded result; without a record they are not known")
  func podStatus() throws {
    let plugin = NamedPlugin("p")
    #expect(try plugin.podNetworkStatus(call(.status)) == nil)
    let status = try plugin.podNetworkStatus(call(.status, record: try fullRecord()))
    #expect(status == PodNetworkStatus(addresses: ["10.1.2.3", "2001:db8::1"]))
  }

  @Test("the no-op plugin hands the previous result on, or gives an empty one")
  func noop() throws {
    let plugin = NoopPlugin()
    let empty: AddCall<NoopPlugin.Step> = try addCall(
      request(.add, try configuration()), plugin: plugin.name)
    #expect(try plugin.add(empty) == CNIResult())
    let chained: AddCall<NoopPlugin.Step> = try addCall(
      request(.add, try configuration(#""prevResult":{"ips":[{"address":"10.0.0.1/8"}]}"#)),
      plugin: plugin.name)
    #expect(try plugin.add(chained).ips.map { "\($0.address)" } == ["10.0.0.1/8"])
    #expect(chained.recorded == nil)
  }

  @Test("a request's title is its pod, or its sandbox where the caller named no pod")
  func title() throws {
    var request = request(.add, try configuration())
    #expect(request.title == "box")
    request.podNamespace = "shop"
    request.podName = "web-0"
    #expect(request.title == "shop/web-0")
  }

  @Test("log levels have names, and errors come first")
  func levels() {
    #expect(LogLevel.allCases.map(\.name) == ["error", "warning", "info", "debug"])
    #expect(LogLevel.allCases.allSatisfy { LogLevel(name: $0.name) == $0 })
    #expect(LogLevel(name: "Info") == nil)
    #expect(LogLevel.error < .warning && LogLevel.info < .debug)
  }
}
