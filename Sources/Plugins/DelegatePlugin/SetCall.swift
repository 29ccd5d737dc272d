import CNI
import JSON
import Libcni
import Linux
import PluginKit

/// One call about a set: how each part of it is called.
struct SetCall: Sendable {
  let request: PodRequest
  let set: DelegateSet
  let parts: Parts
  /// What the set's record says of its parts, by place; nil without a record.
  let recorded: [String: PlannedPart]?
  private let executor: PluginExecutor

  /// The same about another request.
  init(_ other: SetCall, _ request: PodRequest) {
    (self.request, set, parts) = (request, other.set, other.parts)
    (recorded, executor) = (other.recorded, other.executor)
  }

  init(
    _ request: PodRequest, _ host: PluginHost, _ parts: Parts, _ record: AttachmentRecord? = nil
  ) throws(CNIError) {
    self.request = request
    self.parts = parts
    set = try DelegateSet(request.configuration, ifName: request.ifName)
    recorded = record.map { record in
      Dictionary(record.planned(PlannedPart.self).map { ($0.place, $0) }) { first, _ in first }
    }
    executor = PluginExecutor(searchPath: request.searchPath, root: host.hostRoot)
  }

  /// Whether a record lists a part; without a record all that an ADD takes may be there.
  func isPlanned(_ member: DelegateSet.Member, _ position: Int) -> Bool {
    if let recorded { return recorded[Self.place(member, position)] != nil }
    return (try? checkPlugin(member, position)) != nil
  }

  /// Whether a type would begin a set in the set.
  private func isOfSets(_ type: String) -> Bool {
    if set.executed.contains(type) { return false }
    return type == "cni-shim" || parts.plugin(forType: type)?.servesSets == true
  }

  /// - Throws: code 7 for a part that would begin another set, or has no configuration that could
  ///   be given to it.
  private func checkPlugin(_ member: DelegateSet.Member, _ position: Int) throws(CNIError) {
    let plugin = member.list.plugins[position]
    if isOfSets(plugin.type) {
      throw CNIError(
        .invalidConfiguration,
        "network \(goQuoted(member.list.name)): type \(goQuoted(plugin.type)) would begin a "
          + "set in the set of \(request.ifName)")
    }
    let configuration = try plugin.configuration(in: member.list, offered: offered)
    try configuration.checkVersion(for: .add)
  }

  /// Whether it lists one of a network's.
  func isPlanned(_ member: DelegateSet.Member) -> Bool {
    member.list.plugins.indices.contains { isPlanned(member, $0) }
  }

  static func place(_ member: DelegateSet.Member, _ position: Int) -> String {
    "\(member.index).\(position)"
  }

  /// Whether a program attaches a part: as the record says, else as the configuration does.
  func isExecuted(_ member: DelegateSet.Member, _ position: Int, _ type: String) -> Bool {
    if let known = recorded?[Self.place(member, position)] { return known.isExecuted }
    return set.executed.contains(type) || parts.plugin(forType: type) == nil
  }

  /// The whole plan of an ADD.
  ///
  /// - Throws: code 7 for a part that would begin another set; 104 for a program that is missing.
  func plan() throws(CNIError) -> [PlannedPart] {
    var plan: [PlannedPart] = []
    for member in set.members {
      for (position, plugin) in member.list.plugins.enumerated() {
        try checkPlugin(member, position)
        let isExecuted = isExecuted(member, position, plugin.type)
        if isExecuted {
          do throws(PluginError) {
            _ = try executor.find(plugin.type, for: .add)
          } catch {
            throw error.cniError(.delegate)
          }
        }
        plan.append(
          PlannedPart(
            place: Self.place(member, position), type: plugin.type, network: member.list.name,
            ifName: member.ifName, isExecuted: isExecuted))
      }
    }
    return plan
  }

  /// What the parts need beyond the set's own claim.
  func claim() -> Claim {
    var claim = Claim()
    for member in set.members {
      claim.attachments.insert(Claim.attachment(request.sandboxID, member.ifName))
      claim.networks.insert(member.list.name)
      for (position, plugin) in member.list.plugins.enumerated()
      where !isExecuted(member, position, plugin.type) {
        guard let plugin = parts.plugin(forType: plugin.type) else { continue }
        claim.locks.formUnion(plugin.lock(for: request).map { [$0] } ?? [])
      }
    }
    return claim
  }

  /// The part of a turn that a plugin of this daemon does; nil if a program does it.
  func part(_ call: ListedCall, of member: DelegateSet.Member) throws(CNIError) -> Part? {
    if isExecuted(member, call.position, call.plugin.type) { return nil }
    guard let plugin = parts.plugin(forType: call.plugin.type) else {
      throw CNIError(
        .invalidConfiguration,
        "network \(goQuoted(member.list.name)): \(goQuoted(call.plugin.type)) was done by a plugin "
          + "that this cnid lacks")
    }
    var own = request
    own.command = call.command
    own.ifName = member.ifName
    own.configuration = call.configuration
    if call.command == .garbageCollect, try request.configuration.collectsLiving() {
      own.configuration = try own.configuration.replacing([("gcLiving", .bool(true))])
    }
    own.callerName = "multus"
    own.environment["CNI_IFNAME"] = member.ifName
    own.environment["CNI_COMMAND"] = call.command.rawValue
    return Part(place: Self.place(member, call.position), plugin: plugin, request: own)
  }

  /// The run of a program for a turn.
  private func invocation(
    _ call: ListedCall, of member: DelegateSet.Member, _ callID: String
  ) -> PluginInvocation {
    var environment = request.environment
    environment["CNI_IFNAME"] = member.ifName
    environment[InnerCalls.variable] = callID
    if call.command == .status || call.command == .garbageCollect {
      for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        environment[name] = ""
      }
    }
    return PluginInvocation(
      type: call.plugin.type, command: call.command,
      environment: environment.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
      input: call.configuration.bytes, deadline: request.deadline)
  }

  /// Runs a program that changes something; `whenFailed` says what becomes of a failure.
  func run(
    _ call: ListedCall, of member: DelegateSet.Member, _ permit: borrowing Permit,
    whenFailed: (PluginError) throws(CNIError) -> CNIResult?
  ) throws(CNIError) -> CNIResult? {
    let attachment = Claim.attachment(request.sandboxID, member.ifName)
    return try parts.executing(attachment) { id throws(CNIError) in
      do throws(PluginError) {
        let output = try executor.run(invocation(call, of: member, id), permit)
        if call.command != .add { return nil }
        return try output.result(defaultVersion: (try? call.configuration.version()) ?? .newest)
      } catch {
        return try whenFailed(error)
      }
    }
  }

  /// Runs a program that only looks; one that does not know STATUS counts as ready.
  func ask(_ call: ListedCall, of member: DelegateSet.Member) throws(CNIError) {
    let attachment = Claim.attachment(request.sandboxID, member.ifName)
    try parts.executing(attachment) { id throws(CNIError) in
      do throws(PluginError) {
        _ = try executor.ask(invocation(call, of: member, id))
      } catch {
        if call.command == .status, error.isUnknownCommand { return }
        throw error.cniError(.delegate)
      }
    }
  }

  /// What the runtime offers for the declared capabilities.
  var offered: JSONObject { request.configuration.runtimeConfig ?? JSONObject() }
}
