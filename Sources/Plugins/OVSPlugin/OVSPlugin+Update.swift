import Addresses
package import CNI
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Changes VLANs, limits and MTU to what a new configuration says.
  ///
  /// Everything else stays as ADD made it, and what does not change is not touched, so no packet is lost. If one of them cannot
  /// be changed, all are put back.
  ///
  /// - Returns: the result of ADD with the new MTU.
  package func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    let request = try completed(call)
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    let given = try request.configuration.prevResult()
    guard var result = call.record?.result ?? given else {
      throw CNIError(
        .invalidEnvironment,
        "UPDATE of \(goQuoted(request.ifName)) needs an attachment of ADD, or prevResult")
    }
    var updating = try Updating.prepared(
      request, try limits(configuration, PodAnnotations(request.configuration)), configuration,
      try openSwitch(configuration.database), try requireHost(), call.record)
    try updating.run(call.journal)
    for index in result.interfaces.indices {
      let name = result.interfaces[index].name
      guard let mtu = configuration.mtu, [request.ifName, request.hostLinkName].contains(name)
      else {
        continue
      }
      result.interfaces[index].mtu = mtu
    }
    return result
  }
}

/// One UPDATE: what is there, and what shall be.
private struct Updating: ~Copyable {
  private let request: PodRequest
  private let limits: Bandwidth
  private let configuration: OVSConfiguration
  private let owner: Switch
  private let host: PluginHost
  private var node: NetlinkSocket
  private var pod: NetlinkSocket
  private let near: Link
  private let far: Link
  private let port: Switch.Port
  private let interface: Switch.Interface
  private let queue: [String: String]?
  private let isUserspace: Bool

  static func prepared(
    _ request: PodRequest, _ limits: Bandwidth, _ configuration: OVSConfiguration, _ owner: Switch,
    _ host: PluginHost, _ record: AttachmentRecord?
  ) throws(CNIError) -> Updating {
    let deadline = request.deadline
    let found = try mapped { () throws(OVSDBError) in
      try owner.ports(deadline) { PortOwner.owns(request, $0) }.first
    }
    guard let port = found, let interface = port.interface, let bridge = port.bridge else {
      throw CNIError(
        .invalidEnvironment, "no port of attachment \(request.sandboxID)/\(request.ifName) in OVS")
    }
    if let name = configuration.bridge {
      let wanted = try mapped { () throws(OVSDBError) in
        try owner.bridge(named: name, deadline)?.uuid
      }
      guard wanted == bridge else {
        throw CNIError(.invalidConfiguration, "UPDATE cannot move a port to another bridge")
      }
    }
    let (queue, isUserspace) = try mapped { () throws(OVSDBError) in
      try owner.read(deadline) { replica in
        (
          port.queue.flatMap { replica.rows("QoS")[$0]?["other_config"]?.strings },
          replica.bridges.contains { $0.uuid == bridge && $0.isUserspace }
        )
      }
    }
    let namespace = try request.openNamespace()
    var node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
    var pod = try mapped { () throws(NetlinkError) in try NetlinkSocket(in: namespace) }
    let near = try mapped { () throws(NetlinkError) in
      try node.link(named: request.hostLinkName, deadline: deadline)
    }
    let far = try mapped { () throws(NetlinkError) in
      try pod.link(named: request.ifName, deadline: deadline)
    }
    guard let near, let far, request.mark.matches(alias: near.alias) else {
      throw CNIError(
        .invalidEnvironment,
        "\(request.netns) has no interface \(goQuoted(request.ifName)) of this attachment")
    }
    return Updating(
      request: request, limits: limits, configuration: configuration, owner: owner, host: host,
      node: node, pod: pod, near: near, far: far, port: port, interface: interface, queue: queue,
      isUserspace: isUserspace)
  }

  private var hasOtherVLANs: Bool {
    port.mode != configuration.vlans.mode || port.tag != configuration.vlans.tag
      || port.trunks.sorted() != configuration.vlans.trunks
  }

  private var wantedQueue: [String: String]? {
    limits.ingress.flatMap { Switch.queueRow($0, [:])["other_config"]?.strings }
  }

  private var hasOtherLimits: Bool {
    let policing = Switch.policing(limits.egress)
    return queue != wantedQueue
      || interface.policingRate != policing["ingress_policing_rate"]?.integer
      || interface.policingBurst != policing["ingress_policing_burst"]?.integer
  }

  private var otherMTU: UInt32? {
    guard let mtu = configuration.mtu, near.mtu != mtu || far.mtu != mtu else { return nil }
    return mtu
  }

  mutating func run(_ journal: Journal<OVSPlugin.Step>) throws(CNIError) {
    let (vlans, limits) = (hasOtherVLANs, hasOtherLimits)
    if !vlans, !limits, otherMTU == nil { return }
    do throws(CNIError) {
      if vlans || limits {
        try journal.perform(.updatePort) { permit throws(CNIError) in
          try apply(forward(vlans, limits), permit)
        }
      }
      if limits { try shape(self.limits, journal) }
      if let mtu = otherMTU {
        try journal.perform(.updateLinks) { permit throws(CNIError) in
          try set(near: mtu, far: mtu, permit)
        }
      }
    } catch {
      try? journal.perform(.restorePort) { permit throws(CNIError) in
        try? set(near: near.mtu, far: far.mtu, permit)
        if vlans || limits { try apply(back(vlans, limits), permit) }
      }
      if limits { try? shape(before, journal) }
      throw error
    }
  }

  /// Sees to it that limits are in force, as the database has them.
  private mutating func shape(
    _ limits: Bandwidth, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    let shaping = Shaping(
      limits, hostLink: near, podLink: far, isUserspace: isUserspace, host: host,
      deadline: request.deadline)
    let (owner, request) = (owner, request)
    try journal.perform(.limitBandwidth) { permit throws(CNIError) in
      try shaping.enforce(&node, &pod, permit) { permit throws(CNIError) in
        try owner.retireQueue(of: request, permit)
      }
    }
  }

  /// Bits out of kilobits as the database has them: anybody may have written there.
  private func bits(_ kilobits: Int) -> UInt64 {
    let product = UInt64(clamping: kilobits).multipliedReportingOverflow(by: 1000)
    return product.overflow ? .max : product.partialValue
  }

  /// The limits that the database had.
  private var before: Bandwidth {
    var before = Bandwidth()
    if let rate = queue.flatMap({ UInt64($0["max-rate"] ?? "") }) {
      before.ingress = try? Bandwidth.Limit(
        rate: rate, burst: queue.flatMap { UInt64($0["burst"] ?? "") })
    }
    if interface.policingRate > 0 {
      before.egress = try? Bandwidth.Limit(
        rate: bits(interface.policingRate), burst: bits(interface.policingBurst))
    }
    return before
  }

  private mutating func set(
    near nearMTU: UInt32, far farMTU: UInt32, _ permit: borrowing Permit
  ) throws(CNIError) {
    var settings = LinkSettings()
    let deadline = request.deadline
    do throws(NetlinkError) {
      settings.mtu = nearMTU
      try node.apply(
        [.changeLink(index: near.index, name: near.name, settings)], permit, deadline: deadline)
      settings.mtu = farMTU
      try pod.apply(
        [.changeLink(index: far.index, name: far.name, settings)], permit, deadline: deadline)
    } catch {
      throw CNIError(error, doing: "failed to set the MTU of \(goQuoted(request.ifName))")
    }
  }

  /// One transaction; waits until ovs-vswitchd has taken it.
  private func apply(
    _ operations: [OVSDBOperation], _ permit: borrowing Permit
  ) throws(CNIError) {
    do throws(OVSDBError) {
      let results = try owner.change(operations + Switch.reconfigure, permit, request.deadline)
      try owner.awaitConfiguration(Switch.configuration(results), request.deadline)
    } catch {
      throw CNIError(error, doing: "failed to update port \(port.name)")
    }
  }

  private func forward(_ vlans: Bool, _ limits: Bool) -> [OVSDBOperation] {
    var row: OVSDBRow = vlans ? Switch.columns(configuration.vlans) : [:]
    var operations: [OVSDBOperation] = []
    if limits {
      operations += queueChange(to: wantedQueue, &row)
      operations.append(
        .update(
          "Interface", where: [.row(interface.uuid)],
          Switch.policing(self.limits.egress)))
    }
    operations.append(.update("Port", where: [.row(port.uuid)], row))
    return operations
  }

  private func back(_ vlans: Bool, _ limits: Bool) -> [OVSDBOperation] {
    var row: OVSDBRow = [:]
    if vlans {
      row = [
        "vlan_mode": port.mode.isEmpty ? .empty : .string(port.mode),
        "tag": port.tag.map { .integer($0) } ?? .empty, "trunks": .integers(port.trunks),
      ]
    }
    var operations: [OVSDBOperation] = []
    if limits {
      operations += queueChange(to: queue, &row)
      operations.append(
        .update(
          "Interface", where: [.row(interface.uuid)],
          [
            "ingress_policing_rate": .integer(interface.policingRate),
            "ingress_policing_burst": .integer(interface.policingBurst),
          ]))
    }
    operations.append(.update("Port", where: [.row(port.uuid)], row))
    return operations
  }

  /// The queue is made anew or goes: the attachment's has its marks, so DEL finds it whichever it is.
  private func queueChange(
    to settings: [String: String]?, _ port: inout OVSDBRow
  ) -> [OVSDBOperation] {
    var operations = [
      Switch.queueRemoval(of: request)
    ]
    port["qos"] = .empty
    guard let settings else { return operations }
    operations.append(
      .insert(
        into: "QoS",
        [
          "type": .string("linux-htb"), "other_config": .strings(settings),
          "external_ids": .strings(PortOwner.marks(request)),
        ], named: "queue"))
    port["qos"] = .named("queue")
    return operations
  }
}
