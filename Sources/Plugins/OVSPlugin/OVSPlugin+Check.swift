package import CNI
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// How long a CHECK waits for a database that is not there.
  private static let checkMilliseconds = 2000

  /// Compares links, addresses, routes and the port with the result of ADD and the configuration.
  ///
  /// A database that cannot be asked now says nothing against the port.
  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    let request = try completed(call)
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    if configuration.addresses == .ipam {
      try addressing(request.withFixedAddresses(), call.host).check(call)
    }
    let expected = try ExpectedLink(request.requiredResult(), request)
    var session = try PodSession(request)
    let link = try expected.checkLink(&session.pod, kind: Self.kind)
    try expected.checkAddresses(&session.pod, link, call)
    let hostLink = try call.record?.first(PlannedPort.self).map { planned throws(CNIError) in
      try Self.link(named: planned.name, &session)
    }
    let port = try call.waiting { () throws(CNIError) in
      try checkPort(call, request, configuration)
    }
    guard let port else { return }
    let near = if let hostLink { hostLink } else { try Self.link(named: port.name, &session) }
    if let interface = port.interface, !interface.isBehind(near) {
      throw CNIError(
        .openVSwitch, "Error: port \(port.name) has another link than the attachment",
        details: "ifindex \(interface.index ?? 0) in OVS, \(near.index) here")
    }
  }

  private static func link(
    named name: String, _ session: inout PodSession
  ) throws(CNIError) -> Link {
    if let link = try session.node.link(named: name) { return link }
    throw CNIError(.kernel, "host interface name in prevResult: \(name) not found")
  }

  /// - Returns: the port; nil where the database could not be asked.
  private func checkPort(
    _ call: PluginCall<Step>, _ request: PodRequest, _ configuration: OVSConfiguration
  ) throws(CNIError) -> Switch.Port? {
    let owner = try openSwitch(configuration.database, call.host)
    let planned = call.record?.first(PlannedPort.self)
    do throws(OVSDBError) {
      try owner.client.connect(
        deadline: request.deadline.capped(milliseconds: Self.checkMilliseconds))
    } catch {
      guard error.isAbsence else { throw CNIError(error) }
      call.host.log(.warning, "CHECK of \(request.title) without its port: \(error)")
      return nil
    }
    let bridgeName = planned?.bridge ?? configuration.bridge
    let port = try owner.port(of: request)
    if let bridgeName {
      guard let bridge = try owner.bridge(named: bridgeName, request.deadline) else {
        throw CNIError(.openVSwitch, "Error: bridge \(bridgeName) is not found in OVS")
      }
      if let port, port.bridge != bridge.uuid {
        throw CNIError(.openVSwitch, "port \(port.name) is not in bridge \(bridgeName)")
      }
    }
    guard let port, let interface = port.interface else {
      let name = planned?.name ?? "of \(request.sandboxID)/\(request.ifName)"
      throw CNIError(.openVSwitch, "port \(name) is not found in OVS")
    }
    if !interface.error.isEmpty {
      throw CNIError(
        .openVSwitch, "Error: interface \(port.name) is in error state", details: interface.error)
    }
    let (real, wanted) = (port.vlans, configuration.vlans)
    if real.mode != wanted.mode {
      throw CNIError(
        .openVSwitch, "vlan mode mismatch. expected=\(wanted.mode),real=\(real.mode)")
    }
    if real.tag != wanted.tag {
      throw CNIError(
        .openVSwitch, "vlan tag mismatch. ovs=\(real.tag ?? 0),netconf=\(wanted.tag ?? 0)")
    }
    if real.trunks != wanted.trunks {
      throw CNIError(.openVSwitch, "trunk mismatch. ovs=\(real.trunks),netconf=\(wanted.trunks)")
    }
    return port
  }

  /// Whether a database that was used is reachable; nil before the first.
  package var isReady: Bool? {
    let known = clients.withLock { $0.all.map(\.isConnected) }
    return known.isEmpty ? nil : known.contains(true)
  }

  /// Whether an ADD could work: the database answers, ovs-vswitchd is connected to it, the bridge
  /// and address management are there.
  ///
  /// - Throws: code 50 if the database or the bridge is missing, 51 if ovs-vswitchd is: then also
  ///   pods that are attached may be cut off.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    let (request, _) = try completedByFile(call.request, call.host)
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    try call.waiting { () throws(CNIError) in
      try checkSwitch(try openSwitch(configuration.database, call.host), configuration, request)
    }
    if configuration.addresses == .ipam { try addressing(request, call.host).status(call) }
  }

  private func checkSwitch(
    _ owner: Switch, _ configuration: OVSConfiguration, _ request: PodRequest
  ) throws(CNIError) {
    let isConnected: Bool
    do throws(OVSDBError) {
      // ovs-vswitchd holds this lock as long as it is connected.
      isConnected = try owner.client.isLockHeld("ovs_vswitchd", deadline: request.deadline)
    } catch {
      throw CNIError(
        .notAvailable, "OVSDB cannot be reached; is Open vSwitch running?", details: "\(error)")
    }
    if !isConnected {
      throw CNIError(
        .limitedConnectivity, "ovs-vswitchd is not running",
        details: "nobody holds its lock in the database")
    }
    let name = try owner.bridgeName(configuration, request.deadline)
    if let name, try owner.bridge(named: name, request.deadline) == nil {
      throw try owner.missingBridge(name, .notAvailable, request.deadline)
    }
  }
}
