package import CNI
import IPAM
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Compares links, addresses, routes and the port with the result of ADD and the configuration.
  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    let request = try completed(call)
    let deadline = request.deadline
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    if configuration.addresses == .ipam {
      try addressManagement(for: request.withFixedAddresses())?.check()
    }
    guard let result = try request.configuration.prevResult() else {
      throw CNIError(.invalidConfiguration, "required prevResult missing")
    }
    let expected = try ExpectedLink(result, request)
    let namespace = try request.openNamespace()
    var pod = try mapped { () throws(NetlinkError) in try NetlinkSocket(in: namespace) }
    let link = try expected.checkLink(&pod, kind: "veth", deadline)
    try expected.checkAddresses(&pod, link, deadline)
    try expected.checkRoutes(&pod, deadline)
    try checkHostLink(request)
    try checkPort(call, request, configuration)
  }

  private func bridge(
    _ name: String, _ owner: Switch, _ request: PodRequest
  ) throws(CNIError) -> Switch.Bridge? {
    try mapped { () throws(OVSDBError) in try owner.bridge(named: name, request.deadline) }
  }

  private func checkHostLink(_ request: PodRequest) throws(CNIError) {
    let name = request.hostLinkName
    let link = try mapped { () throws(NetlinkError) in
      var node = try NetlinkSocket()
      return try node.link(named: name, deadline: request.deadline)
    }
    if link == nil {
      throw CNIError(.kernel, "host interface name in prevResult: \(name) not found")
    }
  }

  private func checkPort(
    _ call: PluginCall<Step>, _ request: PodRequest, _ configuration: OVSConfiguration
  ) throws(CNIError) {
    let owner = try openSwitch(configuration.database)
    let bridgeName = call.record?.planned("port").first?.string("bridge") ?? configuration.bridge
    let port = try mapped { () throws(OVSDBError) in
      try owner.ports(request.deadline) { PortOwner.owns(request, $0) }.first
    }
    if let bridgeName {
      guard let bridge = try bridge(bridgeName, owner, request) else {
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
    let vlans = configuration.vlans
    if port.mode != vlans.mode {
      throw CNIError(
        .openVSwitch, "vlan mode mismatch. expected=\(vlans.mode),real=\(port.mode)")
    }
    if port.tag != vlans.tag {
      func text(_ tag: Int?) -> String { tag.map { String($0) } ?? "0" }
      throw CNIError(
        .openVSwitch, "vlan tag mismatch. ovs=\(text(port.tag)),netconf=\(text(vlans.tag))")
    }
    if port.trunks.sorted() != vlans.trunks {
      throw CNIError(
        .openVSwitch, "trunk mismatch. ovs=\(port.trunks.sorted()),netconf=\(vlans.trunks)")
    }
  }

  /// Whether an ADD could work: the database answers, ovs-vswitchd is connected to it, the bridge and address management are
  /// there.
  ///
  /// - Throws: code 50 if the database or the bridge is missing, 51 if ovs-vswitchd is: then also pods that are attached may
  ///   be cut off.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    var request = call.request
    let defaults = try ConfigurationFile.defaults(for: request.configuration)
    request.configuration = try request.configuration.completed(with: defaults)
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    let owner = try openSwitch(configuration.database)
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
    if let name = configuration.bridge, try bridge(name, owner, request) == nil {
      throw CNIError(.notAvailable, "failed to find bridge \(name)")
    }
    if configuration.addresses == .ipam { try addressManagement(for: request)?.status() }
  }
}
