import CNI
import Daemon
import DaemonAPI
import JSON
import PluginKit
import Testing
import TestSupport

@Suite("Server: the configuration that a plugin sees")
struct ConfigurationMergeTests {
  private let plugin = RecordingPlugin(aliases: ["alias"])

  private func seen(
    _ config: String, path: String = "/cni", _ change: (inout Configuration) -> Void
  ) async throws -> String? {
    let daemon = try TestDaemon([plugin], change)
    let answer = try await daemon.send(CNICall("ADD", config, to: path))
    #expect(answer.status == 200, "\(answer)")
    return plugin.calls(.add).first?.configuration
  }

  private func object(_ text: String) -> JSONObject { JSONValue(text: text).object ?? JSONObject() }

  @Test("overrides win key by key, other keys stay as they are")
  func overrides() async throws {
    let config = #"{"name":"net","type":"recorder","a":1,"b":2,"deep":{"x":1,"y":2}}"#
    let seen = try await seen(config) { $0.overrides = object(#"{"b":3,"c":4,"deep":{"z":3}}"#) }
    #expect(seen == #"{"name":"net","type":"recorder","a":1,"b":3,"deep":{"z":3},"c":4}"#)
  }

  @Test("without overrides the bytes are unchanged, blanks and all")
  func unchanged() async throws {
    let config = "{ \"name\":\"net\" ,\n\t\"type\":\"recorder\",\"n\":1.0e+2,\"n\":2 }\n"
    #expect(try await seen(config) { $0.overrides = JSONObject() } == config)
  }

  @Test("an override of null takes the key away, as for readinessindicatorfile")
  func dropped() async throws {
    let config = #"{"name":"net","readinessindicatorfile":"/x","type":"recorder"}"#
    let seen = try await seen(config) { $0.overrides = object(#"{"readinessindicatorfile":null}"#) }
    #expect(seen == #"{"name":"net","type":"recorder"}"#)
  }

  @Test("overrides can choose the plugin")
  func chosenByOverride() async throws {
    let config = #"{"name":"net","type":"multus-shim"}"#
    let seen = try await seen(config) { $0.overrides = object(#"{"plugin":"alias"}"#) }
    #expect(seen == #"{"name":"net","type":"multus-shim","plugin":"alias"}"#)
  }

  @Test("an override that makes the configuration invalid is the request's error")
  func badOverride() async throws {
    let daemon = try TestDaemon([plugin]) { $0.overrides = object(#"{"name":"a b"}"#) }
    let answer = try await daemon.send(CNICall())
    #expect(answer.code == 7)
    #expect(answer.message == "invalid characters found in network name")
  }

  @Test("a delegate's configuration gets no overrides")
  func notForDelegates() async throws {
    let config = #"{"name":"net","type":"recorder","a":1}"#
    let seen = try await seen(config, path: "/delegate") { $0.overrides = object(#"{"a":2}"#) }
    #expect(seen == config)
  }

  @Test("a plugin's defaults fill the keys that a configuration lacks, by the plugin's own name")
  func defaults() async throws {
    let config = #"{"name":"net","type":"alias","a":1,"n":null}"#
    let seen = try await seen(config) {
      $0.plugins = [
        "recorder": object(#"{"a":7,"b":{"c":8},"n":9}"#), "alias": object(#"{"x":1}"#),
      ]
    }
    #expect(seen == #"{"name":"net","type":"alias","a":1,"n":null,"b":{"c":8}}"#)
  }

  @Test("overrides come before defaults: what they take away the defaults give again")
  func overridesThenDefaults() async throws {
    let seen = try await seen(#"{"name":"net","type":"recorder","mtu":9000}"#) {
      $0.overrides = object(#"{"mtu":null}"#)
      $0.plugins = ["recorder": object(#"{"mtu":1400}"#)]
    }
    #expect(seen == #"{"name":"net","type":"recorder","mtu":1400}"#)
  }

  @Test("defaults are for delegates too")
  func defaultsForDelegates() async throws {
    let seen = try await seen(#"{"name":"net","type":"recorder"}"#, path: "/delegate") {
      $0.plugins = ["recorder": object(#"{"mtu":1400}"#)]
    }
    #expect(seen == #"{"name":"net","type":"recorder","mtu":1400}"#)
  }
}

@Suite("Server: plugin and search path")
struct PluginSelectionTests {
  @Test(
    "ADD goes to the plugin that the configuration chooses",
    arguments: [
      (#"{"name":"net","type":"two"}"#, "two"),
      (#"{"name":"net","type":"zwei"}"#, "two"),
      (#"{"name":"net","type":"two","plugin":"one"}"#, "one"),
      (#"{"name":"net","type":"cni-shim"}"#, "three"),
      (#"{"name":"net"}"#, "three"),
    ])
  func chosen(config: String, name: String) async throws {
    let plugins = [
      RecordingPlugin("one"), RecordingPlugin("two", aliases: ["zwei"]), RecordingPlugin("three"),
    ]
    let daemon = try TestDaemon(plugins) { $0.defaultPlugin = "three" }
    #expect(try await daemon.send(CNICall("ADD", config)).status == 200)
    #expect(plugins.filter { !$0.calls.value.isEmpty }.map(\.name) == [name])
  }

  @Test("where nothing chooses a plugin the answer is code 7 with the plugins that there are")
  func none() async throws {
    let daemon = try TestDaemon([RecordingPlugin("one"), RecordingPlugin("two")])
    for command in ["ADD", "CHECK", "STATUS", "UPDATE"] {
      let answer = try await daemon.send(
        CNICall(command, #"{"cniVersion":"1.1.0","name":"net","type":"three"}"#))
      #expect(answer.code == 7)
      #expect(
        answer.message
          == "no plugin for type \"three\"; the network must name one as \"plugin\": one, two")
    }
  }

  @Test(
    "programs are searched in the daemon's directories, then in the request's absolute ones",
    arguments: [
      ("/a:/b/c", ["/opt/x", "/y", "/a", "/b/c"]), ("", ["/opt/x", "/y"]),
      (nil, ["/opt/x", "/y"]), ("rel:/a::./b:/", ["/opt/x", "/y", "/a", "/"]),
    ] as [(String?, [String])])
  func searchPath(path: String?, expected: [String]) async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin]) { $0.binDirectories = ["/opt/x", "/y"] }
    var call = CNICall()
    call.env["CNI_PATH"] = path
    #expect(try await daemon.send(call).status == 200)
    #expect(plugin.calls(.add).first?.request.searchPath == expected)
  }

  @Test("request id and stamp of the caller reach the plugin; nonsense counts as nothing said")
  func headers() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    _ = try await daemon.send(
      CNICall(
        "CHECK", headers: [("X-Cnid-Request-Id", "abc-1"), ("X-Cnid-Stamp", CNICall.stamp(77))]))
    _ = try await daemon.send(
      CNICall("CHECK", headers: [("X-Cnid-Request-Id", "a b"), ("X-Cnid-Stamp", "77")]))
    let requests = plugin.calls(.check).map(\.request)
    try #require(requests.count == 2)
    #expect(requests[0].requestID == "abc-1")
    #expect("\(requests[0].stamp)" == CNICall.stamp(77))
    #expect(requests[1].requestID == "")
    #expect(requests[1].stamp.nanoseconds > 0)
  }
}
