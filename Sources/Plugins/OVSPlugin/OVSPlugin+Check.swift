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
      try addressing(request.withFixedAddresses(), call.host).check()
    }
    let expected = try ExpectedLink(request.requiredResult(), request)
    var session = try PodSession(request)
    let link = try expected.checkLink(&session.pod, kind: Self.kind)
    try expected.checkAddresses(&session.pod, link)
    let name = request.hostLinkName
    if try session.node.link(named: name) == nil {
      throw CNIError(.kernel, "host interface name in prevResult: \(name) not found")
    }
    try checkPort(call, request, configuration)
  }

  private func checkPort(
    _ call: PluginCall<Step>, _ request: PodRequest, _ configuration: OVSConfiguration
  ) throws(CNIError) {
    let owner = try openSwitch(configuration.database, call.host)
    do throws(OVSDBError) {
      try owner.client.connect(
        deadline: request.deadline.capped(milliseconds: Self.checkMilliseconds))
    } catch {
      guard error.isAbsence else { throw CNIError(error) }
      return call.host.log(.warning, "CHECK of \(request.title) without its port: \(error)")
    }
    let bridgeName = call.record?.first(PlannedPort.self)?.bridge ?? configuration.bridge
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
      throw CNIError(.openVSwitch, "port \(request.hostLinkName) is not found in OVS")
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
  }

  /// Whether a database that was used is reachable; nil before the first.
  package var isReady: Bool? {
    let known = clients.withLock { $0.values.map(\.isConnected) }
    return known.isEmpty ? nil : known.contains(true)
  }

  /// Whether an ADD could work: the database answers, ovs-vswitchd is connected to it, the bridge
  /// and address management are there.
  ///
  /// - Throws: code 50 if the database or the bridge is missing, 51 if ovs-vswitchd is: then also
  ///   pods that are attached may be cut off.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    let (request, _) = try completedByFile(call.request)
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    let owner = try openSwitch(configuration.database, call.host)
    let isConnected: Bool
    do throws(OVSDBError) {
      // ovs-vswitchd holds this lock as long as it is connected.
      isConnected = try owner.client.isLockHeld("ovs_vswitchd", deadline: request.deadline)
    } catch {
      throw CNIError(.notAvailable, "OVSDB cannot be reached", details: "\(error)")
    }
    if !isConnected {
      throw CNIError(
        .limitedConnectivity, "ovs-vswitchd is not running",
        details: "nobody holds its lock in the database")
    }
    if let name = configuration.bridge, try owner.bridge(named: name, request.deadline) == nil {
      throw CNIError(.notAvailable, "failed to find bridge \(name)")
    }
    if configuration.addresses == .ipam { try addressing(request, call.host).status() }
  }
}
