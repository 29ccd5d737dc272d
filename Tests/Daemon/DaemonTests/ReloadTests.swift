import Addresses
import CNI
@testable import Daemon
import JSON
import Linux
import PluginKit
import Records
import Testing
import TestSupport

@Suite("Reload")
struct ReloadTests {
  @Test("overrides and plugins' defaults count from the next request on")
  func requests() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall("ADD", container: "a")).status == 200)
    try daemon.reload {
      $0.overrides = JSONObject([("over", 1)])
      $0.plugins = ["recorder": JSONObject([("under", 2)])]
    }
    #expect(try await daemon.send(CNICall("ADD", container: "b")).status == 200)
    let configurations = plugin.calls(.add).map { $0.request.configuration.object }
    #expect(configurations.map { $0["over"]?.int } == [nil, 1])
    #expect(configurations.map { $0["under"]?.int } == [nil, 2])
  }

  @Test("a default plugin, search paths and the time limit count from the next request on")
  func choice() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    let foreign = CNICall("ADD", #"{"cniVersion":"1.1.0","name":"net","type":"nobody"}"#)
    #expect(try await daemon.send(foreign).status == 400)
    try daemon.reload {
      $0.defaultPlugin = "recorder"
      $0.binDirectories = ["/new/bin"]
      $0.requestTimeout = 7
    }
    #expect(try await daemon.send(foreign).status == 200)
    let request = try #require(plugin.calls(.add).first?.request)
    #expect(request.searchPath.first == "/new/bin")
    #expect(request.deadline.remainingMilliseconds <= 7_000)
  }

  @Test("more calls may run at once, and those that wait begin at the reload")
  func limits() async throws {
    let door = Door()
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      door.pass()
      return try RecordingPlugin.make(call)
    })
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 1 }
    let calls = (0..<3).map { daemon.start(CNICall("ADD", container: "c\($0)")) }
    #expect(await plugin.hasCalls(.add, 1))
    #expect(try await becomes { daemon.server.load.waiting == 2 })
    try daemon.reload { $0.maximumConcurrent = 3 }
    #expect(await plugin.hasCalls(.add, 3))
    door.open()
    for call in calls { #expect(try await call.value.status == 200) }
  }

  @Test("the log's level changes at once")
  func logLevel() async throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    try daemon.reload { $0.logLevel = .error }
    #expect(try await daemon.send(CNICall("ADD", container: "quiet")).status == 200)
    // The answer comes before the call's line in the log.
    #expect(try await becomes { daemon.server.load.running == 0 })
    try daemon.reload { $0.logLevel = .info }
    #expect(try await daemon.send(CNICall("ADD", container: "loud")).status == 200)
    #expect(try await becomes { daemon.log.contains("loud") })
    #expect(!daemon.log.contains("quiet"))
  }

  @Test("plugins hear of the pod network; a second one waits for the next start")
  func podCIDR() throws {
    let plugin = ListeningPlugin()
    let daemon = try TestDaemon([plugin])
    try daemon.reload { $0.podCIDR = IPNetwork("10.1.2.0/24") }
    try daemon.reload { $0.podCIDR = IPNetwork("10.1.2.0/24") }
    try daemon.reload { $0.podCIDR = IPNetwork("10.1.3.0/24") }
    // Pods have addresses of the first one.
    #expect(plugin.heard.value == ["10.1.2.0/24"])
    #expect(daemon.server.registry.host.podCIDR.current == IPNetwork("10.1.2.0/24"))
  }

  @Test("a plugin that there is not is refused, and the old configuration stays")
  func unknownPlugin() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    #expect(throws: StartError("defaultPlugin: no plugin \"nobody\"; there is recorder")) {
      try daemon.reload {
        $0.defaultPlugin = "nobody"
        $0.requestTimeout = 7
      }
    }
    #expect(throws: StartError("plugins.nobody: no plugin \"nobody\"; there is recorder")) {
      try daemon.reload { $0.plugins = ["nobody": JSONObject()] }
    }
    #expect(try await daemon.send(CNICall("ADD")).status == 200)
    let request = try #require(plugin.calls(.add).first?.request)
    #expect(request.deadline.remainingMilliseconds > 8_000)
  }

  @Test("a request sees one configuration from its beginning to its end, while reloads go on")
  func consistent() async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    let isDone = Locked(false)
    defer { isDone.withLock { $0 = true } }
    let reloads = Task {
      var number = 0
      while !isDone.value {
        number += 1
        let value = JSONValue.number(JSONNumber(number))
        try daemon.reload {
          $0.overrides = JSONObject([("over", value)])
          $0.plugins = ["recorder": JSONObject([("under", value)])]
        }
        await Task.yield()
      }
    }
    for number in 0..<200 {
      #expect(try await daemon.send(CNICall("ADD", container: "c\(number)")).status == 200)
    }
    isDone.withLock { $0 = true }
    try await reloads.value
    let configurations = plugin.calls(.add).map { $0.request.configuration.object }
    #expect(configurations.count == 200)
    #expect(configurations.allSatisfy { $0["over"]?.int == $0["under"]?.int })
  }
}

extension TestDaemon {
  /// Puts another configuration in force, as SIGHUP does.
  @discardableResult
  func reload(
    _ change: (inout Configuration) -> Void
  ) throws(StartError) -> ConfigurationHolder.Change {
    var configuration = server.configuration
    change(&configuration)
    return try server.reload(configuration)
  }
}

/// A plugin that keeps the pod networks that it is told.
private final class ListeningPlugin: NetworkPlugin {
  let name = "listener"
  let heard = Watched<[String]>([])

  func event(_ event: PluginEvent) {
    let network = event.details[PluginEvent.podCIDRDetail]?.string ?? ""
    heard.change { $0.append(network) }
  }

  func add(_ call: AddCall<RecordingPlugin.Step>) throws(CNIError) -> CNIResult {
    try RecordingPlugin.make(call)
  }
  func delete(_ call: PluginCall<RecordingPlugin.Step>) throws(CNIError) {}
  func check(_ call: PluginCall<RecordingPlugin.Step>) throws(CNIError) {}
}
