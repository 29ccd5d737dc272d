import Linux
package import PluginKit
import Records

extension Metrics {
  /// What others know at the moment of the question.
  package struct Gauges: Sendable {
    /// What recorded attachments have in common.
    package struct Group: Hashable, Sendable {
      package let plugin: String
      package let network: String
      /// How far they are.
      package let phase: AttachmentRecord.Phase

      package init(plugin: String, network: String, phase: AttachmentRecord.Phase) {
        self.plugin = plugin
        self.network = network
        self.phase = phase
      }
    }

    /// Calls that run.
    package var inFlight = 0
    /// Calls that wait.
    package var queued = 0
    /// Workers that did not come back from a call, so far.
    package var lostWorkers = 0
    /// How many attachments are recorded.
    package var attachments: [Group: Int] = [:]
    /// How much earlier ADDs have left that cannot be undone, by plugin.
    package var leftovers: [String: Int] = [:]
    /// Records that could not be understood and were set aside.
    package var damagedRecords = 0
    /// DELs in the spool that are not done yet.
    package var spoolEntries = 0
    /// Spool entries that could not be read and were set aside.
    package var damagedSpoolEntries = 0
    /// Spooled DELs of another boot that could not mean what is there.
    package var droppedSpoolEntries = 0
    /// Files of `networkDirs` that can be read as networks.
    package var goodNetworkFiles = 0
    /// And those that cannot, so that the last good content counts, or none.
    package var damagedNetworkFiles = 0
    /// Whether the backends of plugins are there, by their names; only those that know.
    package var plugins: [String: Bool] = [:]
    package var version = ""

    /// Nothing of anything.
    package init() {}
  }

  /// Everything in Prometheus' text format 0.0.4.
  ///
  /// Waits for nothing but /proc, so it may run on the server's thread.
  ///
  /// - Parameter gauges: what others know.
  /// - Returns: the body of the answer; its type is `contentType`.
  package func text(_ gauges: Gauges) -> [UInt8] {
    var text = MetricsText()
    let state = snapshot
    text.add(calls: state.calls)
    text.add(steps: state.steps)
    var gauges = gauges
    // A plugin that was never used says nothing.
    for plugin in state.calls.keys.map(\.plugin) where !plugin.isEmpty {
      gauges.plugins[plugin] = gauges.plugins[plugin] ?? true
    }
    for plugin in state.unready { gauges.plugins[plugin] = false }
    text.add(gauges)
    text.add(state)
    text.add(process: ProcessFigures(), startTime: startTime)
    return text.bytes
  }

  /// The media type of `text`.
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
}

/// Writes Prometheus' text format: families with their help and type, each in the
/// order of its labels.
struct MetricsText {
  enum Kind: String {
    case counter, gauge, histogram
  }

  private(set) var bytes: [UInt8] = []

  init() { bytes.reserveCapacity(32 << 10) }

  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    bytes += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n".utf8
  }

  /// Writes a sample.
  ///
  /// - Parameters:
  ///   - name: the family's name, with a suffix in histograms.
  ///   - labels: names and values; the values may hold anything.
  ///   - value: a number as it shall stand there.
  mutating func sample(_ name: String, _ labels: [(String, String)], _ value: String) {
    bytes += name.utf8
    for (index, label) in labels.enumerated() {
      bytes.append(index == 0 ? 0x7B : 0x2C)
      bytes += label.0.utf8
      bytes += [0x3D, 0x22]
      for byte in label.1.utf8 {
        switch byte {
        case 0x22, 0x5C: bytes += [0x5C, byte]
        case 0x0A: bytes += [0x5C, 0x6E]
        default: bytes.append(byte)
        }
      }
      bytes.append(0x22)
    }
    if !labels.isEmpty { bytes.append(0x7D) }
    bytes.append(0x20)
    bytes += value.utf8
    bytes.append(0x0A)
  }

  /// Writes a histogram's samples: each range with all below it, the sum and the number.
  mutating func histogram(_ name: String, _ labels: [(String, String)], _ histogram: Histogram) {
    var total: UInt64 = 0
    for (bound, count) in zip(Histogram.bounds.map(\.seconds) + ["+Inf"], histogram.counts) {
      total &+= count
      sample("\(name)_bucket", labels + [("le", bound)], "\(total)")
    }
    sample("\(name)_sum", labels, Self.seconds(histogram.sum))
    sample("\(name)_count", labels, "\(total)")
  }

  /// Nanoseconds as seconds, exactly: `0.000001`, `12.5`.
  static func seconds(_ nanoseconds: UInt64) -> String {
    let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    if rest == 0 { return "\(whole)" }
    var digits = Array("\(rest)".utf8)
    digits = [UInt8](repeating: 0x30, count: 9 - digits.count) + digits
    while digits.last == 0x30 { digits.removeLast() }
    return "\(whole).\(String(decoding: digits, as: UTF8.self))"
  }
}

extension MetricsText {
  mutating func add(calls: [Metrics.Service: Metrics.Calls]) {
    let sorted = calls.sorted { ($0.key.command, $0.key.plugin) < ($1.key.command, $1.key.plugin) }
    family("cnid_requests_total", .counter, "Calls answered, by verb, plugin and CNI error code.")
    for (service, calls) in sorted {
      for (code, count) in calls.codes.sorted(by: { $0.key < $1.key }) {
        let shown = code == Metrics.otherCode ? "other" : "\(code)"
        sample("cnid_requests_total", service.labels + [("code", shown)], "\(count)")
      }
    }
    family(
      "cnid_request_duration_seconds", .histogram,
      "Time from the complete request to its answer, waiting included.")
    for (service, calls) in sorted {
      histogram("cnid_request_duration_seconds", service.labels, calls.durations)
    }
  }

  mutating func add(steps: [String: Histogram]) {
    family(
      "cnid_step_duration_seconds", .histogram, "Time that a plugin's recorded step took.")
    for (name, durations) in steps.sorted(by: { $0.key < $1.key }) {
      // A plugin's name may hold a dot, a step's does not.
      let dot = name.utf8.lastIndex(of: 0x2E)
      let plugin = dot.map { String(name[..<$0]) } ?? ""
      let step = dot.map { String(name[name.utf8.index(after: $0)...]) } ?? name
      histogram(
        "cnid_step_duration_seconds", [("plugin", plugin), ("step", step)], durations)
    }
  }

  mutating func add(_ gauges: Metrics.Gauges) {
    single("cnid_requests_in_flight", .gauge, "Calls that run.", gauges.inFlight)
    single("cnid_requests_queued", .gauge, "Calls that wait for their turn.", gauges.queued)
    single(
      "cnid_workers_lost_total", .counter, "Workers that did not come back and were replaced.",
      gauges.lostWorkers)
    family("cnid_attachments", .gauge, "Recorded attachments, by how far they are.")
    let groups = gauges.attachments.sorted {
      ($0.key.plugin, $0.key.network, $0.key.phase.rawValue)
        < ($1.key.plugin, $1.key.network, $1.key.phase.rawValue)
    }
    for (group, count) in groups {
      let labels = [
        ("plugin", group.plugin), ("network", group.network), ("phase", group.phase.rawValue),
      ]
      sample("cnid_attachments", labels, "\(count)")
    }
    family("cnid_leftovers", .gauge, "What failed ADDs have left that could not be undone yet.")
    for (plugin, count) in gauges.leftovers.sorted(by: { $0.key < $1.key }) {
      sample("cnid_leftovers", [("plugin", plugin)], "\(count)")
    }
    single(
      "cnid_records_damaged_total", .counter, "Records set aside because they were unreadable.",
      gauges.damagedRecords)
    single("cnid_spool_entries", .gauge, "Deletions left in the spool.", gauges.spoolEntries)
    single(
      "cnid_spool_damaged_total", .counter, "Spool entries set aside because they were unreadable.",
      gauges.damagedSpoolEntries)
    single(
      "cnid_spool_dropped_total", .counter, "Spooled deletions of another boot that were not done.",
      gauges.droppedSpoolEntries)
    family("cnid_network_files", .gauge, "Files of networks, by whether they can be read.")
    sample("cnid_network_files", [("state", "good")], "\(gauges.goodNetworkFiles)")
    sample("cnid_network_files", [("state", "damaged")], "\(gauges.damagedNetworkFiles)")
    family("cnid_plugin_ready", .gauge, "Whether a used plugin could serve an ADD now.")
    for (plugin, isReady) in gauges.plugins.sorted(by: { $0.key < $1.key }) {
      sample("cnid_plugin_ready", [("plugin", plugin)], isReady ? "1" : "0")
    }
    family("cnid_build_info", .gauge, "The running program; always 1.")
    sample("cnid_build_info", [("version", gauges.version)], "1")
  }

  mutating func add(_ state: Metrics.State) {
    family("cnid_recovered_total", .counter, "What recovery has done, by action.")
    for (action, count) in state.recovered.sorted(by: { $0.key < $1.key }) {
      sample("cnid_recovered_total", [("action", action)], "\(count)")
    }
    single(
      "cnid_orphans_removed_total", .counter,
      "Attachments removed because their namespace had died.", state.orphans)
    family("cnid_gc_removed_total", .counter, "Attachments removed by GC.")
    for (plugin, count) in state.garbage.sorted(by: { $0.key < $1.key }) {
      sample("cnid_gc_removed_total", [("plugin", plugin)], "\(count)")
    }
    family("cnid_gc_kept_total", .counter, "What GC kept although unlisted, because it lives.")
    for (plugin, count) in state.kept.sorted(by: { $0.key < $1.key }) {
      sample("cnid_gc_kept_total", [("plugin", plugin)], "\(count)")
    }
    single(
      "cnid_config_last_reload_successful", .gauge,
      "Whether the configuration was good when it was last read.", state.isLastReloadGood ? 1 : 0)
  }

  mutating func add(process: ProcessFigures?, startTime: UInt64) {
    single(
      "process_start_time_seconds", .gauge, "When the process started, in seconds since 1970.",
      startTime)
    guard let process else { return }
    family("process_cpu_seconds_total", .counter, "Processor time, user and system, in seconds.")
    sample("process_cpu_seconds_total", [], Self.seconds(process.processorNanoseconds))
    single(
      "process_resident_memory_bytes", .gauge, "Memory in use in bytes.", process.residentBytes)
    single(
      "process_virtual_memory_bytes", .gauge, "Address space in bytes.", process.virtualBytes)
    single("process_open_fds", .gauge, "Open descriptors.", process.descriptors)
    single(
      "process_max_fds", .gauge, "Descriptors that it may have.", process.maximumDescriptors)
    single("process_threads", .gauge, "Threads.", process.threads)
  }

  /// Writes a family that has one sample without labels.
  private mutating func single(
    _ name: String, _ kind: Kind, _ help: String, _ value: some BinaryInteger
  ) {
    family(name, kind, help)
    sample(name, [], "\(value)")
  }
}

extension Metrics.Service {
  fileprivate var labels: [(String, String)] { [("command", command), ("plugin", plugin)] }
}
