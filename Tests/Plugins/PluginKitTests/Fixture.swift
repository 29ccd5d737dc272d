import CNI
import DaemonAPI
import Linux
import Netlink
import PluginKit
import TestSupport

/// A plugin of which only the name and what it was told matter.
final class NamedPlugin: NetworkPlugin {
  enum Step: String, PluginStep {
    case first
    case second
    case third
  }

  let name: String
  let aliases: [String]
  private let initFailure: CNIError?
  private let initialized = Locked<[Int]>([])

  init(_ name: String, aliases: [String] = [], initFailure: CNIError? = nil) {
    self.name = name
    self.aliases = aliases
    self.initFailure = initFailure
  }

  /// The MTU of each `initialize` that was called.
  var initializations: [Int] { initialized.value }

  func initialize(_ settings: PluginSettings) throws(CNIError) {
    initialized.withLock { $0.append(settings.mtu) }
    if let initFailure { throw initFailure }
  }

  func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult { CNIResult() }
  func delete(_ call: PluginCall<Step>) throws(CNIError) {}
  func check(_ call: PluginCall<Step>) throws(CNIError) {}
}

/// Keeps records in memory, or refuses to.
final class MemoryStore: AttachmentRecording {
  private let failure: CNIError?
  private let records = Locked<[AttachmentRecord]>([])
  private let holders: [OutsideName: NameHolder]

  /// Knows who has which name.
  init(failure: CNIError? = nil, holders: [OutsideName: NameHolder] = [:]) {
    (self.failure, self.holders) = (failure, holders)
  }

  /// Everything that was written, in order.
  var written: [AttachmentRecord] { records.value }

  func write(_ record: AttachmentRecord) throws(CNIError) {
    if let failure { throw failure }
    records.withLock { $0.append(record) }
  }

  func holder(of name: OutsideName) -> NameHolder? { holders[name] }
  func releasing(_ name: OutsideName) -> [AttachmentRecord] {
    written.filter { $0.phase == .deleting && $0.names.contains(name) }
  }
}

/// What plugins are told at their start.
func settings(mtu: Int = 0) throws(CNIError) -> PluginSettings {
  PluginSettings(host: try host(), mtu: mtu)
}

/// What the daemon offers to them.
func host(leases: String = "/nowhere") throws(CNIError) -> PluginHost {
  PluginHost(
    dataDirectory: leases, binDirectories: [],
    linkRemover: try mapped { () throws(NetlinkError) in try LinkRemover() }, log: { _, _ in })
}

/// A configuration with a name, a version and some members.
func configuration(_ members: String = "") throws(CNIError) -> NetworkConfiguration {
  let separator = members.isEmpty ? "" : ","
  return try NetworkConfiguration(
    Array(#"{"cniVersion":"1.1.0","name":"net"\#(separator)\#(members)}"#.utf8))
}

/// A request for container `box`, interface `eth0`.
func request(
  _ command: CNICommand, _ configuration: NetworkConfiguration, netns: String = "/nowhere",
  deadline: Deadline = .after(seconds: 30)
) -> PodRequest {
  PodRequest(
    command: command, sandboxID: "box", netns: netns, ifName: "eth0", arguments: CNIArguments(),
    configuration: configuration, searchPath: [], environment: ["CNI_NETNS": netns],
    requestID: "r1", stamp: Stamp(bootID: "boot", nanoseconds: 7), deadline: deadline)
}

/// The record that the daemon makes of a request before it calls `add`.
func draft(_ request: PodRequest, plugin: String) -> AttachmentRecord {
  AttachmentRecord(
    key: AttachmentKey(
      network: request.configuration.name, containerID: request.sandboxID, ifName: request.ifName,
      plugin: plugin),
    configuration: request.configuration.bytes, environment: request.environment, origin: "cni",
    requestID: request.requestID, stamp: request.stamp)
}

/// An ADD as the daemon calls it.
func addCall<Step: PluginStep>(
  _ request: PodRequest, plugin: String, store: MemoryStore = MemoryStore(),
  progress: CallProgress = CallProgress()
) throws(CNIError) -> AddCall<Step> {
  AddCall(
    host: try host(), request: request, draft: draft(request, plugin: plugin), store: store,
    progress: progress)
}
