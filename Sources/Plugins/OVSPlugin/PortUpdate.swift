import CNI
import Linux
import Netlink
import OVSDB
import PluginKit
import Workbench

/// One UPDATE of a port: what the database has, and what it shall have.
struct PortUpdate: Sendable {
  private let request: PodRequest
  private let limits: Bandwidth
  private let configuration: OVSConfiguration
  private let owner: Switch
  private let port: Switch.Port
  private let interface: Switch.Interface
  private let queue: [String: String]?
  private let isUserspace: Bool

  /// Looks at the port; changes nothing.
  init(
    _ request: PodRequest, _ limits: Bandwidth, _ configuration: OVSConfiguration, _ owner: Switch
  ) throws(CNIError) {
    let deadline = request.deadline
    guard let port = try owner.port(of: request), let interface = port.interface,
      let bridge = port.bridge
    else {
      throw CNIError(
        .invalidEnvironment, "no port of attachment \(request.sandboxID)/\(request.ifName) in OVS")
    }
    if let name = configuration.bridge, try owner.bridge(named: name, deadline)?.uuid != bridge {
      throw CNIError(.invalidConfiguration, "UPDATE cannot move a port to another bridge")
    }
    (queue, isUserspace) = try mapped { () throws(OVSDBError) in
      try owner.read(deadline) { replica in
        (
          port.queue.flatMap { replica.rows("QoS")[$0]?["other_config"]?.strings },
          replica.bridges.contains { $0.uuid == bridge && $0.isUserspace }
        )
      }
    }
    (self.request, self.limits, self.configuration) = (request, limits, configuration)
    (self.owner, self.port, self.interface) = (owner, port, interface)
  }

  /// What is different, with the ways there and back.
  func changes(
    _ near: Link, _ far: Link, _ log: @escaping @Sendable (LogLevel, String) -> Void
  ) -> [(step: OVSPlugin.Step, change: Reversible)] {
    let (vlans, limited) = (hasOtherVLANs, hasOtherLimits)
    var changes: [(step: OVSPlugin.Step, change: Reversible)] = []
    if vlans || limited {
      let port = Reversible { _, permit throws(CNIError) in
        try apply(forward(vlans, limited), permit)
      } back: { _, permit throws(CNIError) in
        try apply(back(vlans, limited), permit)
      }
      changes.append((.updatePort, port))
    }
    if limited {
      func shaping(_ limits: Bandwidth) -> Shaping {
        Shaping(
          limits, hostLink: near, podLink: far, isUserspace: isUserspace, owner: owner, log: log)
      }
      let shape = Reversible { session, permit throws(CNIError) in
        try shaping(limits).enforce(&session, permit)
      } back: { session, permit throws(CNIError) in
        try shaping(before).enforce(&session, permit)
      }
      changes.append((.limitBandwidth, shape))
    }
    guard let mtu = configuration.mtu else { return changes }
    let links = [Reversible.mtu(mtu, of: near, on: .node), Reversible.mtu(mtu, of: far, on: .pod)]
    return changes + links.compactMap { $0 }.map { (.updateLinks, $0) }
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

  private func forward(_ isVLAN: Bool, _ isLimit: Bool) -> [OVSDBOperation] {
    var row: OVSDBRow = isVLAN ? Switch.columns(configuration.vlans) : [:]
    var operations: [OVSDBOperation] = []
    if isLimit {
      operations += queueChange(to: wantedQueue, &row)
      operations.append(
        .update(
          "Interface", where: [.row(interface.uuid)],
          Switch.policing(limits.egress)))
    }
    operations.append(.update("Port", where: [.row(port.uuid)], row))
    return operations
  }

  private func back(_ isVLAN: Bool, _ isLimit: Bool) -> [OVSDBOperation] {
    var row: OVSDBRow = [:]
    if isVLAN {
      row = [
        "vlan_mode": port.mode.isEmpty ? .empty : .string(port.mode),
        "tag": port.tag.map { .integer($0) } ?? .empty, "trunks": .integers(port.trunks),
      ]
    }
    var operations: [OVSDBOperation] = []
    if isLimit {
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

  /// The queue is created anew or goes: the attachment's has its marks, so DEL finds it
  /// whichever it is.
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
