import CNI
import Linux
import Netlink
import OVSDB
import PluginKit
import Workbench

/// One UPDATE of a port: what the database has, and what it shall have.
struct PortUpdate: Sendable {
  /// What an UPDATE may change of a port.
  private struct Settings: Sendable {
    let vlans: VLANs
    let limits: Bandwidth
    /// The settings of the queue towards the pod; nil for none.
    let queue: [String: String]?
    /// The columns of the interface that limit what comes from the pod.
    let policing: OVSDBRow
  }

  private let request: PodRequest
  private let owner: Switch
  let port: Switch.Port
  private let interface: OVSDBUUID
  private let isUserspace: Bool
  private let mtu: UInt32?
  private let before: Settings
  private let after: Settings

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
    let (queue, isUserspace) = try mapped { () throws(OVSDBError) in
      try owner.read(deadline) { replica in
        (
          port.queue.flatMap { replica.rows("QoS")[$0]?["other_config"]?.strings },
          replica.bridges.contains { $0.uuid == bridge && $0.isUserspace }
        )
      }
    }
    before = Settings(
      vlans: port.vlans, limits: Bandwidth(queue: queue, interface), queue: queue,
      policing: Switch.policing(interface.policingRate, burst: interface.policingBurst))
    after = Settings(
      vlans: configuration.vlans, limits: limits, queue: limits.ingress.map(Switch.queueSettings),
      policing: Switch.policing(limits.egress))
    (self.request, self.owner, self.port, self.interface) = (request, owner, port, interface.uuid)
    (self.isUserspace, mtu) = (isUserspace, configuration.mtu)
  }

  /// What is different, with the ways there and back.
  func changes(
    _ near: Link, _ far: Link, _ log: @escaping @Sendable (LogLevel, String) -> Void
  ) -> [(step: OVSPlugin.Step, change: Reversible?)] {
    let hasOtherVLANs = before.vlans != after.vlans
    let hasOtherLimits = before.queue != after.queue || before.policing != after.policing
    var changes: [(step: OVSPlugin.Step, change: Reversible?)] = []
    if hasOtherVLANs || hasOtherLimits {
      func write(_ settings: Settings, _ permit: borrowing Permit) throws(CNIError) {
        try self.write(settings, vlans: hasOtherVLANs, limits: hasOtherLimits, permit)
      }
      let port = Reversible { _, permit throws(CNIError) in
        try write(after, permit)
      } back: { _, permit throws(CNIError) in
        try write(before, permit)
      }
      changes.append((.updatePort, port))
    }
    if hasOtherLimits {
      func shaping(_ settings: Settings) -> Shaping {
        Shaping(
          limits: settings.limits, hostLink: near, podLink: far, isUserspace: isUserspace,
          owner: owner, log: log)
      }
      let shape = Reversible { session, permit throws(CNIError) in
        try shaping(after).enforce(&session, permit)
      } back: { session, permit throws(CNIError) in
        try shaping(before).enforce(&session, permit)
      }
      changes.append((.limitBandwidth, shape))
    }
    return changes + [
      (.updateLinks, Reversible(near, on: .node, mtu: mtu)),
      (.updateLinks, Reversible(far, on: .pod, mtu: mtu)),
    ]
  }

  /// Writes settings in one transaction, and waits until ovs-vswitchd has taken it.
  ///
  /// The queue is created anew or goes: the attachment's has its marks, so DEL finds it whichever
  /// it is.
  private func write(
    _ settings: Settings, vlans: Bool, limits: Bool, _ permit: borrowing Permit
  ) throws(CNIError) {
    var row = vlans ? Switch.columns(settings.vlans) : [:]
    var operations: [OVSDBOperation] = []
    if limits {
      operations.append(Switch.queueRemoval(of: request))
      row["qos"] = .empty
      if let queue = settings.queue {
        operations.append(Switch.newQueue(queue, of: request))
        row["qos"] = .named("queue")
      }
      operations.append(.update("Interface", where: [.row(interface)], settings.policing))
    }
    operations.append(.update("Port", where: [.row(port.uuid)], row))
    try mapped("failed to update port \(port.name)") { () throws(OVSDBError) in
      let results = try owner.change(operations + Switch.reconfigure, permit, request.deadline)
      try owner.awaitConfiguration(Switch.configuration(results), request.deadline)
    }
  }
}

extension Bandwidth {
  /// The limits that the database has: anybody may have written there.
  fileprivate init(queue: [String: String]?, _ interface: Switch.Interface) {
    if let rate = queue.flatMap({ UInt64($0["max-rate"] ?? "") }) {
      ingress = try? Limit(rate: rate, burst: queue.flatMap { UInt64($0["burst"] ?? "") })
    }
    func bits(_ kilobits: Int) -> UInt64 {
      let product = UInt64(clamping: kilobits).multipliedReportingOverflow(by: 1000)
      return product.overflow ? .max : product.partialValue
    }
    if interface.policingRate > 0 {
      egress = try? Limit(
        rate: bits(interface.policingRate), burst: bits(interface.policingBurst))
    }
  }
}
