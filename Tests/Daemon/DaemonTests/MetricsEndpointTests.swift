import CNI
@testable import Daemon
import Testing
import TestSupport

@Suite("/metrics of a daemon")
struct MetricsEndpointTests {
  @Test("GET answers with the text format, and what the daemon has is in it")
  func page() async throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    #expect(try await daemon.send(CNICall("ADD")).status == 200)
    #expect(try await daemon.send(CNICall("NOPE")).status == 400)
    let answer = try await daemon.send("GET", "/metrics")
    #expect(answer.status == 200)
    #expect(answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
    let page = try PrometheusText(answer.body)
    let add = ["command": "ADD", "plugin": "recorder"]
    #expect(page.value("cnid_requests_total", add.merging(["code": "0"]) { $1 }) == 1)
    #expect(page.value("cnid_request_duration_seconds_count", add) == 1)
    #expect(page.samples("cnid_requests_total").contains { $0.labels["code"] == "4" })
    #expect(
      page.value("cnid_step_duration_seconds_count", ["plugin": "recorder", "step": "make"]) == 1)
    let group = ["plugin": "recorder", "network": "net", "phase": "attached"]
    #expect(page.value("cnid_attachments", group) == 1)
    #expect(page.value("cnid_plugin_ready", ["plugin": "recorder"]) == 1)
    #expect(page.value("cnid_spool_entries") == 0)
  }

  @Test("a plugin whose STATUS failed is not ready until one is good again")
  func readiness() async throws {
    let fault = Locked<CNIError?>(CNIError(.notAvailable, "no database"))
    let plugin = RecordingPlugin(others: [
      .status: { _ throws(CNIError) in if let fault = fault.value { throw fault } }
    ])
    let daemon = try TestDaemon([plugin])
    func isReady() async throws -> Double? {
      try PrometheusText(try await daemon.send("GET", "/metrics").body)
        .value("cnid_plugin_ready", ["plugin": "recorder"])
    }
    let status = CNICall("STATUS", container: nil, ifName: nil, netns: nil, args: nil)
    #expect(try await isReady() == nil)
    #expect(try await daemon.send(status).code == 50)
    #expect(try await isReady() == 0)
    fault.withLock { $0 = nil }
    #expect(try await daemon.send(status).status == 200)
    #expect(try await isReady() == 1)
  }

  @Test("running and waiting calls are shown, and the page comes although all workers are busy")
  func busy() async throws {
    let door = Door()
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      door.pass()
      return try RecordingPlugin.make(call)
    })
    let daemon = try TestDaemon([plugin]) { $0.maximumConcurrent = 2 }
    let calls = (0..<5).map { daemon.start(CNICall("ADD", container: "c\($0)")) }
    // Three may wait before the second one runs.
    let socket = daemon.socket
    let isShown = try await becomes {
      let page = try PrometheusText(try RawHTTP.get("/metrics", socket).body)
      return page.value("cnid_requests_in_flight") == 2 && page.value("cnid_requests_queued") == 3
    }
    #expect(isShown)
    door.open()
    for call in calls { #expect(try await call.value.status == 200) }
  }

  @Test("calls that are sent away because the daemon stops are counted too")
  func stopping() async throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    daemon.server.beginStopping()
    #expect(try await daemon.send(CNICall("ADD")).code == 11)
    let page = try PrometheusText(try await daemon.send("GET", "/metrics").body)
    let labels = ["command": "ADD", "plugin": "recorder", "code": "11"]
    #expect(page.value("cnid_requests_total", labels) == 1)
  }

  @Test("what GC removes is counted for the plugin that had made it")
  func garbage() async throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    for name in ["a", "b", "c"] {
      #expect(try await daemon.send(CNICall("ADD", container: name)).status == 200)
    }
    let collected = try await daemon.send(CNICall.garbageCollection([("a", "eth0")]))
    #expect(collected.status == 200, "\(collected)")
    let page = try PrometheusText(try await daemon.send("GET", "/metrics").body)
    #expect(page.value("cnid_gc_removed_total", ["plugin": "recorder"]) == 2)
  }
}
