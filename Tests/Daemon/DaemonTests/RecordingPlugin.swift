import Addresses
import CNI
import JSON
import Linux
import Netlink
import PluginKit
import TestSupport

/// A plugin that keeps what it is called with and does what the test says; of itself it records a
/// plan of one thing.
final class RecordingPlugin: NetworkPlugin {
  enum Step: String, PluginStep {
    case make
    case change
    case remove
  }

  /// A call as the plugin saw it.
  struct Call: Sendable {
    let command: CNICommand
    let request: PodRequest
    var record: AttachmentRecord?
    var valid: [NetworkConfiguration.Attachment] = []

    /// The configuration's text.
    var configuration: String { String(decoding: request.configuration.bytes, as: UTF8.self) }
  }

  typealias Add = @Sendable (AddCall<Step>) throws(CNIError) -> CNIResult
  typealias Other = @Sendable (PluginCall<Step>) throws(CNIError) -> Void
  typealias Update = @Sendable (PluginCall<Step>) throws(CNIError) -> CNIResult

  let name: String
  let aliases: [String]
  let readsCallerName = true
  let keys: KeyTable?
  private let needsPod: Bool
  private let swept: Set<String>
  private let onLock: @Sendable (PodRequest) -> String?
  private let onAdd: Add
  private let onUpdate: Update
  private let others: [CNICommand: Other]

  /// The calls so far.
  let calls = Watched<[Call]>([])

  init(
    _ name: String = "recorder", aliases: [String] = [], keys: KeyTable? = nil,
    needsPod: Bool = false, otherNetworks: Set<String> = [],
    lock: @escaping @Sendable (PodRequest) -> String? = { _ in nil },
    add: @escaping Add = RecordingPlugin.make,
    update: @escaping Update = { _ throws(CNIError) in RecordingPlugin.result },
    others: [CNICommand: Other] = [:]
  ) {
    self.name = name
    self.aliases = aliases
    self.keys = keys
    self.needsPod = needsPod
    swept = otherNetworks
    onLock = lock
    onAdd = add
    onUpdate = update
    self.others = others
  }

  /// The calls of one verb so far.
  func calls(_ command: CNICommand) -> [Call] { calls.value.filter { $0.command == command } }

  /// Waits until there were so many calls of a verb.
  func hasCalls(_ command: CNICommand, _ count: Int = 1) async -> Bool {
    await calls.reaches { $0.filter { $0.command == command }.count >= count }
  }

  /// What ADD returns unless told otherwise.
  static let result = CNIResult(
    interfaces: [CNIResult.Interface(name: "eth0", sandbox: "/some/netns/path")],
    ips: [CNIResult.IP(interface: 0, address: IPNetwork(host: IPAddress(v4: 0x0A01_0203)))])

  /// What ADD does unless told otherwise: a plan of one thing, one step, the result.
  static func make(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let journal = try call.record(
      plan: [PlannedResource("thing", [("name", .string(call.request.ifName))])], namespace: nil)
    try journal.perform(.make) { _ throws(CNIError) in }
    return result
  }

  func needsPodIdentity(_ configuration: NetworkConfiguration) -> Bool { needsPod }
  func lock(for request: PodRequest) -> String? { onLock(request) }
  func otherNetworks(of configuration: NetworkConfiguration) -> Set<String> { swept }

  func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    calls.change { $0.append(Call(command: .add, request: call.request)) }
    return try onAdd(call)
  }

  func delete(_ call: PluginCall<Step>) throws(CNIError) { try other(.delete, call) }
  func check(_ call: PluginCall<Step>) throws(CNIError) { try other(.check, call) }
  func status(_ call: PluginCall<Step>) throws(CNIError) { try other(.status, call) }

  func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    try other(.garbageCollect, call, valid)
  }

  func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    try other(.update, call)
    return try onUpdate(call)
  }

  private func other(
    _ command: CNICommand, _ call: PluginCall<Step>,
    _ valid: [NetworkConfiguration.Attachment] = []
  ) throws(CNIError) {
    calls.change {
      $0.append(
        Call(command: command, request: call.request, record: call.record, valid: valid))
    }
    try others[command]?(call)
  }
}

extension PluginHost {
  /// What a daemon offers whose plugins ask for nothing.
  static func ofTests() throws -> PluginHost {
    PluginHost(
      dataDirectory: "/nowhere", binDirectories: [], linkRemover: try LinkRemover(),
      log: { _, _ in })
  }
}
