import CNI
import Linux
import OVSDB
import PluginKit

/// The operations of which the plugin's transactions are made.
extension Switch {
  /// Makes ovs-vswitchd look at the database.
  ///
  /// Returns the number (`cur_cfg`) by which it reports that it has.
  static let reconfigure: [OVSDBOperation] = [
    .mutate("Open_vSwitch", where: [], [OVSDBMutation("next_cfg", .add, .integer(1))]),
    .select(from: "Open_vSwitch", where: [], columns: ["next_cfg"]),
  ]

  /// The number out of the results of a transaction with ``reconfigure``.
  static func configuration(_ results: [OVSDBResult]) -> Int {
    for result in results {
      if let number = result.rows.first?["next_cfg"]?.integer { return number }
    }
    return 0
  }

  /// Takes a port and its queue out of the database; its interface goes with it.
  static func removal(of port: Port) -> [OVSDBOperation] {
    var operations: [OVSDBOperation] = [
      .mutate(
        "Bridge", where: [OVSDBCondition("ports", .includes, .uuid(port.uuid))],
        [OVSDBMutation("ports", .delete, .uuid(port.uuid))])
    ]
    if let queue = port.queue {
      // The port's row goes only when all is done, and a queue that a row refers to cannot.
      operations.append(.update("Port", where: [.row(port.uuid)], ["qos": .empty]))
      // Another's queue may be shared by several ports; a pod's has its sandbox's mark, also
      // OVN-Kubernetes'.
      let sandbox = port.interface?.externalIDs["sandbox"] ?? port.externalIDs["sandbox"] ?? ""
      operations.append(
        .delete(
          from: "QoS",
          where: [
            .row(queue),
            OVSDBCondition("external_ids", .includes, .strings(["sandbox": sandbox])),
          ]))
    }
    return operations
  }

  /// Takes the queues of an attachment out of the database, whose port may have gone
  /// with its bridge.
  static func queueRemoval(of request: PodRequest) -> OVSDBOperation {
    .delete(from: "QoS", where: [PortOwner.condition(request)])
  }

  /// The settings of a queue that limits what goes to the pod.
  static func queueSettings(_ limit: Bandwidth.Limit) -> [String: String] {
    var settings = ["max-rate": String(limit.rate)]
    if let burst = limit.burst { settings["burst"] = String(burst) }
    return settings
  }

  /// The queue of an attachment, as `queue` for the port's row.
  static func newQueue(_ settings: [String: String], of request: PodRequest) -> OVSDBOperation {
    let row: OVSDBRow = [
      "type": .string("linux-htb"), "other_config": .strings(settings),
      "external_ids": .strings(PortOwner.marks(request)),
    ]
    return .insert(into: "QoS", row, named: "queue")
  }

  /// The columns that limit what comes from the pod, in kilobits; 0 is no limit.
  static func policing(_ limit: Bandwidth.Limit?) -> OVSDBRow {
    let rate = limit.map { max(1, $0.rate / 1000) } ?? 0
    // Four full-sized packets have to fit, whatever was asked for.
    let burst = limit.map { max(48, $0.effectiveBurst / 1000) } ?? 0
    return policing(Int(clamping: rate), burst: Int(clamping: burst))
  }

  static func policing(_ rate: Int, burst: Int) -> OVSDBRow {
    ["ingress_policing_rate": .integer(rate), "ingress_policing_burst": .integer(burst)]
  }

  /// The columns that say which VLANs a port carries.
  static func columns(_ vlans: VLANs) -> OVSDBRow {
    [
      "vlan_mode": vlans.mode.isEmpty ? .empty : .string(vlans.mode),
      "tag": vlans.tag.map { .integer($0) } ?? .empty,
      "trunks": .integers(vlans.trunks),
    ]
  }
}

extension Switch {
  /// Makes an attachment's queue one that ovs-vswitchd leaves alone, and waits until it does; the
  /// limit stays written there.
  func retireQueue(of request: PodRequest, _ permit: borrowing Permit) throws(CNIError) {
    try mapped("failed to retire the queue of \(request.sandboxID)/\(request.ifName)") {
      () throws(OVSDBError) in
      let retired = OVSDBOperation.update(
        "QoS", where: [PortOwner.condition(request)], ["type": .string("linux-noop")])
      let results = try change([retired] + Switch.reconfigure, permit, request.deadline)
      try awaitConfiguration(Switch.configuration(results), request.deadline)
    }
  }

  /// Waits until ovs-vswitchd has taken a configuration.
  func awaitConfiguration(_ number: Int, _ deadline: Deadline) throws(OVSDBError) {
    try client.wait(for: "ovs-vswitchd to take the changes", deadline: deadline) {
      replica -> Void? in
      (replica.root?["cur_cfg"]?.integer ?? 0) >= number ? () : nil
    }
  }
}
