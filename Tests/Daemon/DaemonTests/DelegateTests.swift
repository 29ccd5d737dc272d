import CNI
import Daemon
import JSON
import PluginKit
import Testing
import TestSupport

@Suite("Server: /delegate")
struct DelegateTests {
  private let plugin = RecordingPlugin()

  private let attributes = JSONValue(
    text: #"{"ips":["10.1.1.5/24","fd00::5"],"mac":"c2:b0:57:49:47:f1","cni-args":{"b":3,"c":[4]}}"#
  )

  private func seen(_ config: String, _ attributes: JSONValue?) async throws -> String? {
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(
      CNICall("ADD", config, to: "/delegate", ifName: "net1", attributes: attributes))
    #expect(answer.status == 200, "\(answer)")
    #expect(answer.text.hasPrefix("{\"Result\":"))
    return plugin.calls(.add).first?.configuration
  }

  @Test("mac, ips and cni-args reach a plugin whose configuration declares the capabilities")
  func attributesPassed() async throws {
    let seen = try await seen(
      #"{"name":"net","type":"recorder","capabilities":{"mac":true,"ips":true}}"#, attributes)
    #expect(
      seen
        == #"{"name":"net","type":"recorder","#
        + #""runtimeConfig":{"mac":"c2:b0:57:49:47:f1","ips":["10.1.1.5/24","fd00::5"]},"#
        + #""args":{"cni":{"b":3,"c":[4]}}}"#)
  }

  @Test("what a configuration does not declare is left out, cni-args are merged into its own")
  func undeclared() async throws {
    let seen = try await seen(
      #"{"name":"net","type":"recorder","capabilities":{"mac":false},"#
        + #""args":{"x":1,"cni":{"a":1,"b":2}}}"#, attributes)
    #expect(
      seen
        == #"{"name":"net","type":"recorder","args":{"x":1,"cni":{"a":1,"b":3,"c":[4]}}}"#)
  }

  @Test(
    "mac and ips reach the plugin as CNI_ARGS too, with and without the capability",
    arguments: ["{}", #"{"mac":true}"#, #"{"ips":true,"mac":true}"#])
  func asArguments(capabilities: String) async throws {
    let daemon = try TestDaemon([plugin])
    let config = #"{"name":"net","type":"recorder","capabilities":\#(capabilities)}"#
    for command in ["ADD", "DEL"] {
      let answer = try await daemon.send(
        CNICall(command, config, to: "/delegate", ifName: "net1", attributes: attributes))
      #expect(answer.status == 200, "\(answer)")
    }
    let given = "K8S_POD_NAMESPACE=awesome-namespace;K8S_POD_NAME=awesome-name"
    let added = ";MAC=c2:b0:57:49:47:f1;IP=10.1.1.5/24,fd00::5"
    #expect(plugin.calls(.add).first?.request.environment["CNI_ARGS"] == given + added)
    #expect(plugin.calls(.delete).first?.request.environment["CNI_ARGS"] == given)
  }

  @Test("an ADD of what is attached to this network answers the recorded result")
  func addedTwice() async throws {
    let daemon = try TestDaemon([plugin])
    let call = CNICall("ADD", CNICall.network, to: "/delegate", ifName: "net1")
    let first = try await daemon.send(call)
    let second = try await daemon.send(call)
    #expect(first.status == 200 && second.status == 200 && first.text == second.text)
    #expect(plugin.calls(.add).count == 1)
    // Elsewhere it is an error.
    #expect(try await daemon.send(CNICall(ifName: "net1")).code == 4)
  }

  @Test("a DEL of another network than the attachment's changes nothing")
  func otherNetwork() async throws {
    let daemon = try TestDaemon([plugin])
    let other = #"{"cniVersion":"1.1.0","name":"other","type":"recorder"}"#
    for (command, config) in [("ADD", CNICall.network), ("DEL", other)] {
      let call = CNICall(command, config, to: "/delegate", ifName: "net1")
      #expect(try await daemon.send(call).status == 200)
    }
    #expect(plugin.calls(.delete).isEmpty)
    let own = CNICall("DEL", CNICall.network, to: "/delegate", ifName: "net1")
    #expect(try await daemon.send(own).status == 200)
    #expect(plugin.calls(.delete).count == 1)
  }

  @Test("a DEL of what an ADD refuses, or of an interface with such a name, succeeds")
  func refused() async throws {
    let daemon = try TestDaemon([plugin])
    let list =
      #"{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"recorder"},{"type":"tuning"}]}"#
    for (config, ifName, code) in [(list, "net1", 7), (CNICall.network, "net%d", 4)] {
      let added = try await daemon.send(CNICall("ADD", config, to: "/delegate", ifName: ifName))
      #expect(added.code == code)
      let deleted = try await daemon.send(CNICall("DEL", config, to: "/delegate", ifName: ifName))
      #expect(deleted.status == 200, "\(deleted)")
    }
  }

  @Test("what the configuration has in runtimeConfig stays beside the attributes")
  func runtimeConfig() async throws {
    let seen = try await seen(
      #"{"name":"net","type":"recorder","capabilities":{"mac":true},"#
        + #""runtimeConfig":{"mac":"old","deviceID":"0"}}"#, attributes)
    #expect(seen?.contains(#""runtimeConfig":{"mac":"c2:b0:57:49:47:f1","deviceID":"0"}"#) == true)
  }

  @Test(
    "without attributes the bytes are unchanged",
    arguments: [nil, #"{"cni-args":null}"#, #"{"ips":[],"mac":"","cni-args":{}}"#] as [String?])
  func noAttributes(text: String?) async throws {
    let config = #"{ "name":"net", "type":"recorder", "runtimeConfig":{ "x":1 } }"#
    #expect(try await seen(config, text.map { JSONValue(text: $0) }) == config)
  }

  @Test("a list of one plugin becomes that plugin's configuration")
  func list() async throws {
    let seen = try await seen(
      #"{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"recorder","name":"x","mtu":1}]}"#,
      nil)
    #expect(seen == #"{"type":"recorder","name":"net","mtu":1,"cniVersion":"1.0.0"}"#)
  }

  @Test(
    "a list of no plugin is code 7, and what is no list of objects code 6",
    arguments: [("[]", 7), ("{}", 6), ("[1]", 6)])
  func badList(plugins: String, code: Int) async throws {
    let answer = try await TestDaemon([plugin]).send(
      CNICall("ADD", #"{"name":"net","plugins":\#(plugins)}"#, to: "/delegate"))
    #expect(answer.code == code)
    #expect(answer.message?.contains("plugins") == true, "\(answer)")
  }

  @Test(
    "attributes of a wrong type are refused", arguments: [#"{"ips":"a"}"#, #"{"mac":1}"#, "[]"])
  func badAttributes(text: String) async throws {
    let answer = try await TestDaemon([plugin]).send(
      CNICall(to: "/delegate", attributes: JSONValue(text: text)))
    #expect(answer.status == 400)
    #expect(answer.code == 6)
  }

  @Test("attributes on /cni are not looked at")
  func onlyThere() async throws {
    let config = #"{"name":"net","type":"recorder","capabilities":{"mac":true}}"#
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall("ADD", config, attributes: attributes)).status == 200)
    #expect(plugin.calls(.add).first?.configuration == config)
  }

  @Test("DEL whose plugin fails is an error: the container lives on, its owner must know")
  func failingDelete() async throws {
    let plugin = RecordingPlugin(others: [
      .delete: { _ throws(CNIError) in throw CNIError(.kernel, "cannot remove net1") }
    ])
    let answer = try await TestDaemon([plugin]).send(CNICall("DEL", to: "/delegate"))
    #expect(answer.status == 400)
    #expect(answer.code == 100)
    #expect(answer.message == "cannot remove net1")
  }

  @Test("CHECK and STATUS are served too", arguments: ["CHECK", "STATUS"])
  func otherVerbs(command: String) async throws {
    let answer = try await TestDaemon([plugin]).send(CNICall(command, to: "/delegate"))
    #expect(answer.status == 200)
    #expect(answer.body.isEmpty)
  }
}
