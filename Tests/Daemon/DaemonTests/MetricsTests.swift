import CNI
@testable import Daemon
import Linux
@testable import PluginKit
import Testing
import TestSupport

@Suite("Metrics")
struct MetricsTests {
  private let metrics = Metrics()

  private func page(_ gauges: Metrics.Gauges = Metrics.Gauges()) throws -> PrometheusText {
    try PrometheusText(metrics.text(gauges))
  }

  /// One of everything.
  private func countEverything() -> Metrics.Gauges {
    metrics.finished(command: .add, plugin: "macvlan", code: 0, nanoseconds: 3_000_000)
    metrics.finished(command: .add, plugin: "macvlan", code: 11, nanoseconds: 40)
    metrics.finished(command: .delete, plugin: "kubernetes.io/no-op", code: 0, nanoseconds: 1)
    metrics.finished(command: nil, plugin: "", code: 4, nanoseconds: 1)
    metrics.recovered(action: "rolled_back")
    metrics.orphanRemoved()
    metrics.garbageRemoved(plugin: "macvlan", count: 2)
    var gauges = Metrics.Gauges()
    gauges.inFlight = 3
    gauges.queued = 4
    gauges.lostWorkers = 8
    gauges.attachments = [
      .init(plugin: "macvlan", network: "a", phase: .attached): 5,
      .init(plugin: "macvlan", network: "a", phase: .deleting): 1,
    ]
    gauges.spoolEntries = 6
    gauges.damagedSpoolEntries = 7
    gauges.damagedRecords = 9
    (gauges.goodNetworkFiles, gauges.damagedNetworkFiles) = (10, 11)
    gauges.plugins = ["macvlan": true, "kubernetes.io/no-op": false]
    gauges.version = "1.2.3"
    return gauges
  }

  @Test("a page with nothing counted has every family, and is well formed")
  func empty() throws {
    let page = try page()
    #expect(
      page.types == [
        "cnid_requests_total": "counter", "cnid_request_duration_seconds": "histogram",
        "cnid_step_duration_seconds": "histogram", "cnid_requests_in_flight": "gauge",
        "cnid_requests_queued": "gauge", "cnid_attachments": "gauge",
        "cnid_recovered_total": "counter", "cnid_orphans_removed_total": "counter",
        "cnid_gc_removed_total": "counter", "cnid_spool_entries": "gauge",
        "cnid_records_damaged_total": "counter",
        "cnid_spool_damaged_total": "counter", "cnid_gc_kept_total": "counter",
        "cnid_spool_dropped_total": "counter", "cnid_leftovers": "gauge",
        "cnid_plugin_ready": "gauge", "cnid_network_files": "gauge",
        "cnid_workers_lost_total": "counter", "cnid_config_last_reload_successful": "gauge",
        "cnid_build_info": "gauge", "process_start_time_seconds": "gauge",
        "process_cpu_seconds_total": "counter", "process_resident_memory_bytes": "gauge",
        "process_virtual_memory_bytes": "gauge", "process_open_fds": "gauge",
        "process_max_fds": "gauge", "process_threads": "gauge",
      ])
  }

  @Test("everything that is counted is on the page under its labels")
  func everything() throws {
    let page = try page(countEverything())
    let add = ["command": "ADD", "plugin": "macvlan"]
    #expect(page.value("cnid_requests_total", add.merging(["code": "0"]) { $1 }) == 1)
    #expect(page.value("cnid_requests_total", add.merging(["code": "11"]) { $1 }) == 1)
    #expect(
      page.value("cnid_requests_total", ["command": "", "plugin": "", "code": "4"]) == 1)
    #expect(page.value("cnid_request_duration_seconds_count", add) == 2)
    #expect(page.value("cnid_request_duration_seconds_sum", add) == 0.00300004)
    #expect(page.value("cnid_recovered_total", ["action": "rolled_back"]) == 1)
    #expect(page.value("cnid_orphans_removed_total") == 1)
    #expect(page.value("cnid_gc_removed_total", ["plugin": "macvlan"]) == 2)
    #expect(page.value("cnid_workers_lost_total") == 8)
    #expect(page.value("cnid_requests_in_flight") == 3)
    #expect(page.value("cnid_requests_queued") == 4)
    let attached = ["plugin": "macvlan", "network": "a", "phase": "attached"]
    #expect(page.value("cnid_attachments", attached) == 5)
    #expect(page.value("cnid_spool_entries") == 6)
    #expect(page.value("cnid_spool_damaged_total") == 7)
    #expect(page.value("cnid_records_damaged_total") == 9)
    #expect(page.value("cnid_network_files", ["state": "good"]) == 10)
    #expect(page.value("cnid_network_files", ["state": "damaged"]) == 11)
    #expect(page.value("cnid_plugin_ready", ["plugin": "macvlan"]) == 1)
    #expect(page.value("cnid_plugin_ready", ["plugin": "kubernetes.io/no-op"]) == 0)
    #expect(page.value("cnid_build_info", ["version": "1.2.3"]) == 1)
  }

  @Test(
    "a duration counts in the first range that holds it and in all above",
    arguments: [
      (0, "0.0005"), (500_000, "0.0005"), (500_001, "0.001"), (1_000_000_000, "1"),
      (60_000_000_000, "60"), (60_000_000_001, "+Inf"), (UInt64.max, "+Inf"),
    ] as [(UInt64, String)])
  func ranges(nanoseconds: UInt64, first: String) throws {
    metrics.finished(command: .add, plugin: "p", code: 0, nanoseconds: nanoseconds)
    let ranges = try page().samples("cnid_request_duration_seconds_bucket")
    #expect(ranges.count == 17)
    #expect(ranges.first { $0.value == 1 }?.labels["le"] == first)
  }

  @Test("a step's name is split behind the plugin's, which may hold dots")
  func steps() throws {
    for _ in 0..<2 {
      metrics.steps([CallProgress.Step(name: "kubernetes.io/x.y.make", nanoseconds: 5)])
    }
    metrics.steps([])
    let labels = ["plugin": "kubernetes.io/x.y", "step": "make"]
    #expect(try page().value("cnid_step_duration_seconds_count", labels) == 2)
  }

  @Test(
    "label values may hold anything",
    arguments: ["a\"b", "a\\b", "a\nb", "\\", "\"", "a}b,c=\"d", "é 雪", ""])
  func escaping(network: String) throws {
    var gauges = Metrics.Gauges()
    gauges.attachments[.init(plugin: "p", network: network, phase: .adding)] = 1
    let labels = ["plugin": "p", "network": network, "phase": "adding"]
    #expect(try page(gauges).value("cnid_attachments", labels) == 1)
  }

  @Test("free text of a request makes no series: unknown verbs are one, and so are codes beyond 64")
  func bounded() throws {
    for number in 0..<1_000 {
      let verb = CNICommand(rawValue: "VERB\(number)")
      metrics.finished(command: verb, plugin: "p", code: number, nanoseconds: 1)
    }
    let samples = try page().samples("cnid_requests_total")
    #expect(samples.count == 65)
    #expect(samples.reduce(0) { $0 + $1.value } == 1_000)
    #expect(samples.filter { $0.labels["code"] == "other" }.map(\.value) == [936])
  }

  @Test(
    "seconds are exact",
    arguments: [
      (0, "0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (10_000_000_000, "10"),
      (60_000_000_010, "60.00000001"), (UInt64.max, "18446744073.709551615"),
    ] as [(UInt64, String)])
  func seconds(nanoseconds: UInt64, text: String) {
    #expect(MetricsText.seconds(nanoseconds) == text)
  }

  @Test("the process's own figures are those of the kernel")
  func process() throws {
    let page = try page()
    let cpu = try #require(page.value("process_cpu_seconds_total"))
    #expect(cpu > 0 && cpu < 36_000)
    #expect(try #require(page.value("process_resident_memory_bytes")) > 1_000_000)
    #expect(
      try #require(page.value("process_virtual_memory_bytes"))
        > #require(page.value("process_resident_memory_bytes")))
    let open = try #require(page.value("process_open_fds"))
    #expect(open >= 3)
    #expect(try #require(page.value("process_max_fds")) >= open)
    #expect(try #require(page.value("process_threads")) >= 1)
    let now = Double(KernelClock.real) / 1e9
    let start = try #require(page.value("process_start_time_seconds"))
    #expect(start <= now && start > now - 36_000)
  }

  @Test("open descriptors are counted exactly")
  func descriptors() async {
    await #expect(processExitsWith: .success) {
      let before = ProcessFigures()?.descriptors ?? 0
      let files = try (0..<10).map { _ in Held(try Files.open("/dev/null", [.read])) }
      let after = ProcessFigures()?.descriptors ?? 0
      precondition(after == before + 10, "\(before) \(after)")
      withExtendedLifetime(files) {}
    }
  }

  @Test("a failed reload shows until one succeeds")
  func reload() throws {
    #expect(try page().value("cnid_config_last_reload_successful") == 1)
    metrics.reloaded(isGood: false)
    #expect(try page().value("cnid_config_last_reload_successful") == 0)
    metrics.reloaded(isGood: true)
    #expect(try page().value("cnid_config_last_reload_successful") == 1)
  }

  @Test(
    "a debug build counts a call in at most 100 us of processor time, and has a full page in 50 ms")
  func cost() async throws {
    let metrics = metrics
    let (call, page) = await onThread { () -> (UInt64, UInt64) in
      for number in 0..<40 {
        metrics.finished(command: .add, plugin: "plugin\(number)", code: 0, nanoseconds: 1)
      }
      let began = threadTime
      for number in 0..<10_000 {
        metrics.finished(
          command: .add, plugin: "macvlan", code: 0, nanoseconds: UInt64(number) * 1_000)
      }
      let counted = threadTime
      for _ in 0..<10 { _ = metrics.text(Metrics.Gauges()) }
      return ((counted - began) / 10_000, (threadTime - counted) / 10)
    }
    print("figure: metrics: \(call) ns a call, \(page / 1000) us a page (debug build)")
    #expect(call < 100_000 * UInt64(Program.slowness))
    #expect(page < 50_000_000 * UInt64(Program.slowness))
  }

  @Test(
    "promtool finds nothing to say about a page",
    .enabled(if: PromTool.path != nil, "CNI_PROMTOOL is not set (scripts/test sets it)"))
  func promtool() async throws {
    let (full, bare) = (metrics.text(countEverything()), Metrics().text(Metrics.Gauges()))
    for page in [full, bare] {
      let verdict = try await PromTool.check(page)
      #expect(verdict.succeeded)
      #expect(verdict.text.isEmpty && verdict.errorText.isEmpty, "\(verdict)")
    }
  }
}

/// Keeps a descriptor open.
private final class Held: Sendable {
  let file: FileDescriptor
  init(_ file: consuming FileDescriptor) { self.file = file }
}
