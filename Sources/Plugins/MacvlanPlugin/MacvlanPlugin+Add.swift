import Addresses
package import CNI
import IPAM
import JSON
import Linux
import Netlink
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Makes the link in the pod's namespace and gives it its addresses.
  ///
  /// Everything that can be wrong with the request is found before the plan is recorded. What fails afterwards is undone
  /// by `delete`.
  package func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let previous = try request.configuration.prevResult()
    let addresses = try addressManagement(for: request)
    var attachment = try Attaching.prepared(request)
    try addresses?.prepare()
    let journal = try call.record(
      plan: attachment.plan, namespace: try attachment.identity())

    var leased: CNIResult?
    if let addresses, addresses.isInProcess {
      leased = try journal.perform(.takeLease) { permit throws(CNIError) in
        try addresses.add(permit)
      }
    }
    try journal.perform(.createLink) { permit throws(CNIError) in try attachment.create(permit) }
    if let addresses, !addresses.isInProcess {
      try journal.perform(.markLink) { permit throws(CNIError) in try attachment.mark(permit) }
      leased = try journal.perform(.runIPAM) { permit throws(CNIError) in
        try addresses.add(permit)
      }
    }
    if let leased, leased.ips.isEmpty {
      throw CNIError(.ipam, "IPAM plugin returned missing IP config")
    }
    try attachment.configure(leased ?? CNIResult(), journal)
    let result = attachment.result(leased ?? CNIResult())
    return if let previous { result.appended(to: previous) } else { result }
  }
}

/// One ADD's link on its way: what is known before it is made, and its sockets.
private struct Attaching: ~Copyable {
  private let request: PodRequest
  private let configuration: MacvlanConfiguration
  private let deadline: Deadline
  private let namespace: NetworkNamespace
  /// A socket of the node's namespace; unused when the parent is in the container.
  private var node: NetlinkSocket
  private var pod: NamespaceAccess
  private let parent: Link
  private let mtu: UInt32?
  /// The link's hardware address, chosen before it is made so that the plan can name it.
  private let mac: MACAddress
  /// The link, once it was made.
  private var link: Link?

  /// Looks at everything that an ADD needs; changes nothing.
  static func prepared(_ request: PodRequest) throws(CNIError) -> Attaching {
    let deadline = request.deadline
    let configuration = try MacvlanConfiguration(request.configuration, request.arguments)
    var node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
    var parent: Link?
    if !configuration.isParentInContainer {
      let found = try configuration.parent(&node, deadline: deadline)
      // The order in which the reference finds faults: the MTU before the namespace.
      _ = try configuration.mtu(on: found)
      parent = found
    }
    let namespace = try request.openNamespace()
    var pod = try mapped { () throws(NetlinkError) in
      try NamespaceAccess(namespace, listeningTo: .ipv6Addresses)
    }
    try request.refuseOwnNamespace(node, pod.socket)
    let found: Link
    if let parent {
      found = parent
    } else {
      found = try configuration.parent(&pod.socket, deadline: deadline)
    }
    try request.refuseExistingLink(&pod.socket)
    return Attaching(
      request: request, configuration: configuration, deadline: deadline, namespace: namespace,
      node: node, pod: pod, parent: found, mtu: try configuration.mtu(on: found),
      mac: try mac(configuration, found))
  }

  /// The requested address, else the parent's for a link that takes it over, else a random one.
  private static func mac(
    _ configuration: MacvlanConfiguration, _ parent: Link
  ) throws(CNIError) -> MACAddress {
    if let wanted = configuration.mac { return wanted }
    if configuration.mode == .passthru, let mac = parent.mac { return mac }
    return try .random()
  }

  /// What the ADD makes, with what `delete` needs to know it again.
  var plan: [PlannedResource] {
    var plan = [
      PlannedResource(
        "link",
        [
          ("name", .string(request.ifName)), ("netns", .string(request.netns)),
          ("mac", .string(mac.description)),
        ])
    ]
    if let type = request.configuration.ipamType {
      plan.append(PlannedResource("lease", [("type", .string(type))]))
    }
    return plan
  }

  /// How the kernel names the pod's namespace.
  mutating func identity() throws(CNIError) -> NamespaceIdentity {
    try NamespaceIdentity(of: namespace, pod.socket, &node, deadline: deadline)
  }

  // MARK: Effects

  mutating func create(_ permit: borrowing Permit) throws(CNIError) {
    let kind = NewLink.Kind.macvlan(
      parent: parent.index, mode: configuration.mode,
      broadcastQueueLength: configuration.broadcastQueueLength)
    var wanted = NewLink(name: request.ifName, kind: kind, mac: mac, mtu: mtu)
    do throws(NetlinkError) {
      if configuration.isParentInContainer {
        try pod.socket.apply([.createLink(wanted)], permit, deadline: deadline)
      } else {
        wanted.namespace = namespace.descriptor.rawValue
        try node.apply([.createLink(wanted)], permit, deadline: deadline)
      }
      link = try pod.socket.link(named: request.ifName, deadline: deadline)
    } catch {
      if error.errno == .exists { throw request.linkExists }
      throw CNIError(error, doing: "failed to create macvlan")
    }
  }

  /// The link that was made, unless somebody has removed it meanwhile.
  private func made() throws(CNIError) -> Link {
    if let link { return link }
    throw CNIError(
      .kernel, "interface \(goQuoted(request.ifName)) vanished from \(request.netns)")
  }

  mutating func mark(_ permit: borrowing Permit) throws(CNIError) {
    let link = try made()
    var settings = LinkSettings()
    settings.alias = request.mark.text
    do throws(NetlinkError) {
      try pod.socket.apply(
        [.changeLink(index: link.index, name: link.name, settings)], permit, deadline: deadline)
    } catch {
      throw CNIError(error)
    }
  }

  mutating func configure(
    _ leased: CNIResult, _ journal: Journal<MacvlanPlugin.Step>
  ) throws(CNIError) {
    let link = try made()
    var settings = LinkSettings()
    settings.alias = request.mark.text
    // In passthru mode the kernel passes over the address in the message that makes the link.
    if link.mac != mac {
      settings.mac = mac
      self.link?.mac = mac
    }
    let setup = LinkSetup(
      link, settings, leased, skipsDAD: configuration.skipsDAD, deadline: deadline)
    try journal.perform(.configureLink) { permit throws(CNIError) in
      try setup.configure(&pod, permit)
    }
    if setup.needsWait {
      try journal.perform(.awaitAddresses) { _ throws(CNIError) in
        try setup.awaitAddresses(&pod)
      }
    }
    if !leased.routes.isEmpty {
      try journal.perform(.addRoutes) { permit throws(CNIError) in
        try setup.addRoutes(&pod.socket, permit)
      }
    }
  }

  /// The result of this plugin alone.
  func result(_ leased: CNIResult) -> CNIResult {
    let interface = CNIResult.Interface(
      name: request.ifName, mac: (link?.mac ?? mac).description, sandbox: request.netns)
    let ips = leased.ips.map { ip in
      CNIResult.IP(interface: 0, address: ip.address, gateway: ip.gateway)
    }
    let own = request.configuration.dns
    return CNIResult(
      interfaces: [interface], ips: ips, routes: leased.routes,
      dns: own.isEmpty ? leased.dns : own)
  }
}
