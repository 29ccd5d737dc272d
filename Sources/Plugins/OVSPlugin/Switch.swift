import CNI
import JSON
import Linux
import Netlink
import OVSDB
import PluginKit

/// Open vSwitch as the plugin sees it: bridges and ports, read from a copy of the database that
/// the client keeps.
///
/// The schema is that of ovs-vswitchd.conf.db(5).
struct Switch: Sendable {
  static let database = "Open_vSwitch"

  /// What of it is kept here.
  static let monitored = [
    "Open_vSwitch": ["cur_cfg", "next_cfg", "external_ids"],
    "Bridge": ["name", "ports", "datapath_type"],
    "Port": ["name", "interfaces", "external_ids", "tag", "trunks", "vlan_mode", "qos"],
    "Interface": [
      "name", "external_ids", "error", "ofport", "ifindex", "link_state", "ingress_policing_rate",
      "ingress_policing_burst",
    ],
    "QoS": ["external_ids", "type", "other_config"],
  ]

  let client: OVSDBClient

  init(_ client: OVSDBClient) { self.client = client }

  struct Bridge: Sendable {
    let uuid: OVSDBUUID
    let name: String
    /// Whether its datapath is in user space (`datapath_type` netdev).
    let isUserspace: Bool
  }

  /// A port with its one interface.
  struct Port: Sendable {
    let uuid: OVSDBUUID
    let name: String
    let vlans: VLANs
    let queue: OVSDBUUID?
    let externalIDs: [String: String]
    /// The bridge that has it; nil for a port that is being removed.
    let bridge: OVSDBUUID?
    let interface: Interface?
  }

  /// An interface: the link behind a port.
  struct Interface: Sendable {
    let uuid: OVSDBUUID
    let externalIDs: [String: String]
    /// Why ovs-vswitchd could not use it; empty if it could.
    let error: String
    /// The OpenFlow port, above 0 when ovs-vswitchd has taken it.
    let number: Int
    /// The index of the link that ovs-vswitchd has; nil while it has not said it.
    let index: Int?
    let isUp: Bool
    /// Kilobits per second, 0 for no limit.
    let policingRate: Int
    let policingBurst: Int
  }

  /// Looks at the copy, which is complete and at least as new as the client's own last transaction.
  func read<T: Sendable>(
    _ deadline: Deadline, _ body: @Sendable (OVSDBReplica) -> T
  ) throws(OVSDBError) -> T {
    try client.read(deadline: deadline, body)
  }

  /// A bridge by its name.
  func bridge(named name: String, _ deadline: Deadline) throws(CNIError) -> Bridge? {
    try mapped { () throws(OVSDBError) in
      try read(deadline) { replica in replica.bridges.first { $0.name == name } }
    }
  }

  /// The error for a bridge that is not there, with those that are.
  func missingBridge(
    _ name: String, _ code: CNIErrorCode, _ deadline: Deadline
  ) throws(CNIError) -> CNIError {
    let names = try mapped { () throws(OVSDBError) in
      try read(deadline) { replica in replica.bridges.map(\.name) }
    }
    return CNIError(code, "failed to find bridge \(name); \(choices(names, near: name))")
  }

  /// The port of an attachment.
  func port(of request: PodRequest) throws(CNIError) -> Port? {
    try mapped { () throws(OVSDBError) in
      try ports(request.deadline) { PortOwner.owns(request, $0) }.first
    }
  }

  /// Ports that fulfil a condition.
  func ports(
    _ deadline: Deadline, where condition: @escaping @Sendable (Port) -> Bool
  ) throws(OVSDBError) -> [Port] {
    try read(deadline) { replica in replica.ports.filter(condition) }
  }

  /// Changes the database in one transaction.
  func change(
    _ operations: [OVSDBOperation], _ permit: borrowing Permit, _ deadline: Deadline
  ) throws(OVSDBError) -> [OVSDBResult] {
    try client.transact(operations, deadline: deadline)
  }
}

extension OVSDBReplica {
  var bridges: [Switch.Bridge] {
    rows("Bridge").map { uuid, row in
      Switch.Bridge(
        uuid: uuid, name: row["name"]?.string ?? "",
        isUserspace: row["datapath_type"]?.string == "netdev")
    }
  }

  /// All ports, those of several interfaces (bonds) included.
  var ports: [Switch.Port] {
    var bridges: [OVSDBUUID: OVSDBUUID] = [:]
    for (bridge, row) in rows("Bridge") {
      for port in row["ports"]?.uuids ?? [] { bridges[port] = bridge }
    }
    let interfaces = rows("Interface")
    return rows("Port").map { uuid, row in
      let members = row["interfaces"]?.uuids ?? []
      let interface = members.count == 1 ? members.first : nil
      return Switch.Port(
        uuid: uuid, name: row["name"]?.string ?? "",
        vlans: VLANs(
          mode: row["vlan_mode"]?.string ?? "", tag: row["tag"]?.integer,
          trunks: (row["trunks"]?.integers ?? []).sorted()),
        queue: row["qos"]?.uuids.first, externalIDs: row["external_ids"]?.strings ?? [:],
        bridge: bridges[uuid],
        interface: interface.flatMap { id in interfaces[id].map { Switch.Interface(id, $0) } })
    }
  }

  /// The row of the table that has one.
  var root: OVSDBRow? { rows("Open_vSwitch").values.first }

  /// An interface by its row.
  func interface(_ uuid: OVSDBUUID) -> Switch.Interface? {
    rows("Interface")[uuid].map { Switch.Interface(uuid, $0) }
  }
}

extension Switch.Interface {
  /// Whether ovs-vswitchd has this link; not every datapath says which it has.
  func isBehind(_ link: Link) -> Bool { index.map { $0 == Int(link.index) } ?? true }

  fileprivate init(_ uuid: OVSDBUUID, _ row: OVSDBRow) {
    self.init(
      uuid: uuid, externalIDs: row["external_ids"]?.strings ?? [:],
      error: serverText(row["error"]?.string ?? ""), number: row["ofport"]?.integer ?? 0,
      index: row["ifindex"]?.integer,
      isUp: row["link_state"]?.string == "up",
      policingRate: row["ingress_policing_rate"]?.integer ?? 0,
      policingBurst: row["ingress_policing_burst"]?.integer ?? 0)
  }
}
