import Addresses
import CNI
import Linux
import OVSDB
import PluginKit

extension Switch {
  /// A port that an ADD is going to make.
  struct PlannedPort: Sendable {
    let owner: Switch
    let request: PodRequest
    let configuration: OVSConfiguration
    let bridge: Bridge
    /// `external_ids:iface-id`; nil if OVN is not to know of it.
    let interfaceID: String?
    /// The name of port, interface and link.
    let name: String
    /// Whether OVN has flows to install before the port works.
    let needsFlows: Bool
  }

  struct AddedPort: Sendable {
    let interface: OVSDBUUID
    /// `next_cfg` after the transaction: ovs-vswitchd says in `cur_cfg` how far it has come.
    let configuration: Int
  }

  /// Finds the bridge and names the port.
  ///
  /// - Throws: code 7 if there is no such bridge; 101 if the database cannot be reached.
  func planned(
    _ configuration: OVSConfiguration, _ request: PodRequest
  ) throws(CNIError) -> PlannedPort {
    let interfaceID = configuration.interfaceID(
      podNamespace: request.podNamespace, podName: request.podName)
    let ovn = try ovn(request.deadline)
    guard let name = configuration.bridge ?? interfaceID.map({ _ in ovn.bridge }) else {
      throw CNIError(
        .invalidConfiguration,
        "failed to get bridge name: the network has neither bridge nor an OVN port")
    }
    guard let bridge = try bridge(named: name, request.deadline) else {
      throw try missingBridge(name, .invalidConfiguration, request.deadline)
    }
    return PlannedPort(
      owner: self, request: request, configuration: configuration, bridge: bridge,
      interfaceID: interfaceID, name: try request.newHostLinkName(),
      needsFlows: interfaceID != nil && name == ovn.bridge && ovn.isConnected)
  }

  /// The bridge of a network's ports as far as it is known without a pod; nil where only CNI_ARGS
  /// say that a port is OVN's.
  func bridgeName(
    _ configuration: OVSConfiguration, _ deadline: Deadline
  ) throws(CNIError) -> String? {
    if let bridge = configuration.bridge { return bridge }
    let isOVN = configuration.addresses == .annotation || configuration.ovnPort != nil
    return isOVN ? try ovn(deadline).bridge : nil
  }

  /// OVN's integration bridge, and whether OVN works here.
  private func ovn(_ deadline: Deadline) throws(CNIError) -> (bridge: String, isConnected: Bool) {
    let global = try mapped { () throws(OVSDBError) in
      try read(deadline) { $0.root?["external_ids"]?.strings ?? [:] }
    }
    return (global["ovn-bridge"] ?? "br-int", global["ovn-remote"] != nil)
  }
}

extension Switch.PlannedPort {
  /// The external ids of the interface, by OVN-Kubernetes' names.
  func externalIDs(mac: MACAddress, addresses: [IPNetwork]) -> [String: String] {
    var ids = ["attached_mac": mac.description, "sandbox": request.sandboxID]
    if let interfaceID {
      ids["iface-id"] = interfaceID
      if !request.podUID.isEmpty { ids["iface-id-ver"] = request.podUID }
    }
    if !addresses.isEmpty {
      ids["ip_addresses"] = addresses.map(\.description).joined(separator: ",")
    }
    if configuration.addresses == .annotation, configuration.annotatedNetwork != "default" {
      ids["k8s.ovn.org/nad"] = configuration.annotatedNetwork
      ids["k8s.ovn.org/network"] = request.configuration.name
    }
    return ids
  }

  /// Writes interface, port and queue, and takes away the port of an older sandbox of the same pod.
  ///
  /// - Throws: code 101 if the database refuses or cannot be reached.
  func add(
    _ externalIDs: [String: String], _ limits: Bandwidth, _ permit: borrowing Permit
  ) throws(CNIError) -> Switch.AddedPort {
    while true {
      let stale = try stalePorts()
      do throws(OVSDBError) {
        return try write(externalIDs, limits, stale, permit)
      } catch {
        switch error {
        // Whether it was done is not known: the next look at the database tells.
        case .interrupted:
          if let done = try alreadyAdded(permit) { return done }
        // Another ADD has taken the interface's name for OVN meanwhile.
        case .refused(_, _, "timed out", _): Clock.pause(milliseconds: 2)
        default: throw CNIError(error, doing: "failed to add port \(name) to bridge \(bridge.name)")
        }
        if request.deadline.isOver { throw CNIError(error) }
      }
    }
  }

  /// Ports that give way: the attachment's own, which a DEL could not take away while the
  /// database was down, and those with our interface's name for OVN, which are of older
  /// sandboxes of the pod.
  ///
  /// - Throws: code 101 if one of them is no pod's.
  private func stalePorts() throws(CNIError) -> [Switch.Port] {
    let ports = try mapped { () throws(OVSDBError) in
      try owner.ports(request.deadline) { [request, interfaceID] port in
        PortOwner.owns(request, port)
          || interfaceID != nil && port.interface?.externalIDs["iface-id"] == interfaceID
      }
    }
    guard let interfaceID else { return ports }
    let users = try mapped { () throws(OVSDBError) in
      try owner.read(request.deadline) { replica in
        replica.rows("Interface").filter { $0.value["external_ids"]?["iface-id"] == interfaceID }
          .map { (uuid: $0.key, name: $0.value["name"]?.string ?? "") }
      }
    }
    // One member of a bond is no port's only interface.
    let other = users.first { user in
      !ports.contains { $0.interface?.uuid == user.uuid && PortOwner.isPods($0) }
    }
    if let other {
      throw CNIError(
        .openVSwitch,
        "iface-id \(interfaceID) is in use by interface \(other.name), which is no pod's")
    }
    return ports
  }

  private func alreadyAdded(_ permit: borrowing Permit) throws(CNIError) -> Switch.AddedPort? {
    try mapped { () throws(OVSDBError) in
      let found = try owner.ports(request.deadline) { [name, request] port in
        port.name == name && port.externalIDs == PortOwner.marks(request)
      }
      guard let interface = found.first?.interface else { return nil }
      let results = try owner.change(Switch.reconfigure, permit, request.deadline)
      return Switch.AddedPort(
        interface: interface.uuid, configuration: Switch.configuration(results))
    }
  }

  private func write(
    _ externalIDs: [String: String], _ limits: Bandwidth, _ stale: [Switch.Port],
    _ permit: borrowing Permit
  ) throws(OVSDBError) -> Switch.AddedPort {
    var operations: [OVSDBOperation] = []
    if let interfaceID {
      // Nobody else may have come with this name since we looked.
      operations.append(
        .wait(
          "Interface",
          where: [OVSDBCondition("external_ids", .includes, .strings(["iface-id": interfaceID]))],
          columns: ["_uuid"],
          are: stale.compactMap(\.interface).filter { $0.externalIDs["iface-id"] == interfaceID }
            .map { ["_uuid": .uuid($0.uuid)] }))
    }
    for port in stale { operations += Switch.removal(of: port) }
    let interface = operations.count
    operations.append(
      .insert(into: "Interface", interfaceRow(externalIDs, limits), named: "interface"))
    var port = portRow
    if let limit = limits.ingress {
      operations.append(Switch.newQueue(Switch.queueSettings(limit), of: request))
      port["qos"] = .named("queue")
    }
    operations.append(.insert(into: "Port", port, named: "port"))
    operations.append(
      .mutate(
        "Bridge", where: [.row(bridge.uuid)],
        [OVSDBMutation("ports", .insert, .named("port"))]))
    let added = operations.count - 1
    operations += Switch.reconfigure
    operations.append(.comment("cnid: add port \(name)"))
    let results = try owner.change(operations, permit, request.deadline)
    guard results.count > added, let uuid = results[interface].uuid, results[added].count == 1
    else {
      throw OVSDBError.refused(
        index: nil, operation: "", error: "bridge \(bridge.name) has gone", details: "")
    }
    return Switch.AddedPort(interface: uuid, configuration: Switch.configuration(results))
  }

  private func interfaceRow(
    _ externalIDs: [String: String], _ limits: Bandwidth
  ) -> OVSDBRow {
    var row: OVSDBRow = ["name": .string(name), "external_ids": .strings(externalIDs)]
    if let number = configuration.portNumber { row["ofport_request"] = .integer(number) }
    for (column, value) in Switch.policing(limits.egress) { row[column] = value }
    return row
  }

  private var portRow: OVSDBRow {
    var row: OVSDBRow = [
      "name": .string(name), "interfaces": .named("interface"),
      "external_ids": .strings(PortOwner.marks(request)),
      // The start script of Open vSwitch drops such ports after a reboot.
      "other_config": .strings(["transient": "true"]),
    ]
    for (column, value) in Switch.columns(configuration.vlans) { row[column] = value }
    return row
  }
}
