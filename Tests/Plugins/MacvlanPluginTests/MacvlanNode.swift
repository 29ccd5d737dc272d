import CNI
import DaemonAPI
import JSON
import Linux
import Netlink
import PluginKit
import TestSupport

@testable import MacvlanPlugin

/// A node for the plugin alone: a namespace with a card, directories, and what the daemon does
/// around a plugin's calls.
final class MacvlanNode: Sendable {
  let network: TestNamespace
  let directory: TemporaryDirectory
  let plugin = MacvlanPlugin()
  let remover: LinkRemover
  let host: PluginHost
  let records = Records()
  private let progress = Locked(CallProgress())

  /// The steps of the last call in order, without the plugin's name.
  var steps: [String] {
    progress.value.finished.map { String($0.name.dropFirst("macvlan.".count)) }
  }

  private func newProgress() -> CallProgress {
    let new = CallProgress()
    progress.withLock { $0 = new }
    return new
  }

  /// Creates a node whose card is `uplink`, MTU 1500.
  init() async throws {
    network = try await TestNamespace()
    directory = try TemporaryDirectory()
    remover = try LinkRemover()
    try await network.ip(
      "link set lo up", "link add uplink type veth peer name wire", "link set wire up",
      "link set uplink up")
    host = PluginHost(
      dataDirectory: directory("networks"), binDirectories: [], linkRemover: remover,
      log: { _, _ in })
  }

  /// The leases of host-local, `network/address`.
  var leases: [String] {
    TemporaryDirectory.files(below: directory("networks")).filter {
      !$0.hasSuffix("lock") && !$0.contains("last_reserved_ip.")
    }
  }

  /// A network configuration: macvlan on `uplink`, host-local 10.1.2.0/24; nil removes a key.
  func configuration(_ changes: [String: JSONValue?] = [:]) throws -> NetworkConfiguration {
    let json: JSONValue = [
      "cniVersion": "1.1.0", "name": "pods", "type": "macvlan", "master": "uplink",
      "ipam": ["type": "host-local", "subnet": "10.1.2.0/24"],
    ]
    return try NetworkConfiguration(json.setting(changes).bytes)
  }

  /// An IPAM plugin on disk: a shell script of that name.
  func install(_ name: String, _ script: String) throws {
    try Files.makeDirectories(directory("bin"))
    try Files.write(
      directory("bin/\(name)"), Array("#!/bin/sh\n\(script)\n".utf8),
      mode: [.write, .create, .truncate], permissions: 0o755)
  }

  /// A request as the daemon makes it.
  func request(
    _ command: CNICommand, _ pod: TestPod, _ configuration: NetworkConfiguration,
    _ options: CallOptions
  ) throws -> PodRequest {
    let netns = options.netns ?? pod.netns
    let environment = pod.environment(
      command.rawValue, ifname: options.ifName, ["CNI_NETNS": netns, "CNI_ARGS": options.arguments])
    return PodRequest(
      command: command, sandboxID: options.containerID ?? pod.containerID, netns: netns,
      ifName: options.ifName, arguments: try CNIArguments(options.arguments),
      configuration: configuration, searchPath: [directory("bin")], environment: environment,
      requestID: "test", stamp: Stamp(bootID: "boot"), deadline: options.deadline)
  }

  private func key(_ request: PodRequest) -> AttachmentKey {
    AttachmentKey(
      network: request.configuration.name, containerID: request.sandboxID, ifName: request.ifName,
      plugin: plugin.name)
  }

  // MARK: The verbs

  /// ADD, and the undo of one that fails.
  @discardableResult
  func add(
    _ pod: TestPod, _ configuration: NetworkConfiguration, _ options: CallOptions = CallOptions()
  ) async throws -> CNIResult {
    let request = try request(.add, pod, configuration, options)
    let (plugin, records, key, progress) = (plugin, records, key(request), newProgress())
    let host = host
    return try await network.run {
      let call = AddCall<MacvlanPlugin.Step>(
        host: host, request: request,
        draft: AttachmentRecord(
          key: key, configuration: request.configuration.bytes, environment: request.environment,
          origin: "cni", requestID: request.requestID, stamp: request.stamp),
        store: records, progress: progress)
      do {
        let result = try plugin.add(call)
        records.finish(key, result)
        return result
      } catch {
        if let record = call.recorded {
          var request = request
          request.command = .delete
          request.deadline = .after(seconds: 10 * Program.patience)
          try plugin.delete(
            PluginCall(
              host: host, plugin: plugin.name, request: request, record: record,
              progress: CallProgress()))
          records.remove(key)
        }
        throw error
      }
    }
  }

  /// DEL; `options.isForgotten` leaves the record out, as when it was lost.
  func delete(
    _ pod: TestPod, _ configuration: NetworkConfiguration, _ options: CallOptions = CallOptions()
  ) async throws {
    let request = try request(.delete, pod, configuration, options)
    try await perform(request, options) { plugin, call in try plugin.delete(call) }
    records.remove(key(request))
    let remover = remover
    try await onThread { try remover.drain(deadline: soon) }
  }

  /// CHECK with the result of ADD as `prevResult`, unless the configuration has one.
  func check(
    _ pod: TestPod, _ configuration: NetworkConfiguration, _ result: CNIResult?,
    _ options: CallOptions = CallOptions()
  ) async throws {
    var configuration = configuration
    if let result {
      configuration = try configuration.replacing([
        ("prevResult", try result.json(as: try configuration.version()))
      ])
    }
    let request = try request(.check, pod, configuration, options)
    try await perform(request, options) { plugin, call in try plugin.check(call) }
  }

  /// UPDATE.
  func update(
    _ pod: TestPod, _ configuration: NetworkConfiguration, _ options: CallOptions = CallOptions()
  ) async throws -> CNIResult {
    let request = try request(.update, pod, configuration, options)
    return try await perform(request, options) { plugin, call in try plugin.update(call) }
  }

  /// STATUS.
  func status(_ configuration: NetworkConfiguration) async throws {
    let pod = try await TestPod()
    let request = try request(.status, pod, configuration, CallOptions())
    try await perform(request, CallOptions()) { plugin, call in try plugin.status(call) }
  }

  /// GC.
  func collect(_ configuration: NetworkConfiguration, valid: [TestPod]) async throws {
    let request = try request(.garbageCollect, try await TestPod(), configuration, CallOptions())
    let valid = valid.map {
      NetworkConfiguration.Attachment(containerID: $0.containerID, ifName: "eth0")
    }
    try await perform(request, CallOptions()) { plugin, call in
      try plugin.garbageCollect(call, valid: valid)
    }
  }

  @discardableResult
  private func perform<Value: Sendable>(
    _ request: PodRequest, _ options: CallOptions,
    _ body: @escaping @Sendable (MacvlanPlugin, PluginCall<MacvlanPlugin.Step>) throws -> Value
  ) async throws -> Value {
    let record = options.isForgotten ? nil : records.record(key(request))
    let (plugin, progress, host) = (plugin, newProgress(), host)
    return try await network.run {
      try body(
        plugin,
        PluginCall(
          host: host, plugin: plugin.name, request: request, record: record,
          progress: progress))
    }
  }
}

/// What of a call differs from the usual.
struct CallOptions: Sendable {
  var ifName = "eth0"
  var arguments = "IgnoreUnknown=1"
  var netns: String?
  var containerID: String?
  var isForgotten = false
  var deadline = soon
}

/// Records in memory; a test may do something at the moment when the plan is written.
final class Records: AttachmentRecording {
  private let records = Locked<[AttachmentKey: AttachmentRecord]>([:])
  private let hook = Locked<(@Sendable () -> Void)?>(nil)

  /// Runs a body when the next plan is written, after everything was looked at and before
  /// anything is made.
  func onNextPlan(_ body: @escaping @Sendable () -> Void) { hook.withLock { $0 = body } }

  func write(_ record: AttachmentRecord) throws(CNIError) {
    records.withLock { $0[record.key] = record }
    let body = hook.withLock { hook in
      defer { hook = nil }
      return hook
    }
    body?()
  }

  func holder(of name: OutsideName) -> NameHolder? { nil }
  func releasing(_ name: OutsideName) -> [AttachmentRecord] { [] }

  func finish(_ key: AttachmentKey, _ result: CNIResult) {
    records.withLock { records in
      records[key]?.phase = .attached
      records[key]?.result = result
    }
  }

  func remove(_ key: AttachmentKey) { records.withLock { $0[key] = nil } }
  func record(_ key: AttachmentKey) -> AttachmentRecord? { records.value[key] }
  /// Every record that there is.
  var all: [AttachmentRecord] { Array(records.value.values) }
  /// Changes every record.
  func edit(_ body: @Sendable (inout AttachmentRecord) -> Void) {
    records.withLock { records in
      for key in records.keys {
        if var record = records[key] { body(&record); records[key] = record }
      }
    }
  }
}

extension JSONValue {
  /// A link as `ip` shows it, without what the kernel finds out of it a moment after a change.
  var settledLink: JSONValue {
    let flags = self["flags"]?.array?.filter { $0 != "NO-CARRIER" }
    return setting(["operstate": nil, "flags": flags.map { .array($0) }])
  }
}

/// The CNI error that a body throws, nil if it throws none.
func failure(_ body: () async throws -> Void) async throws -> CNIError? {
  do {
    try await body()
    return nil
  } catch let error as CNIError {
    return error
  }
}
