import Addresses
package import CNI
import Linux
package import Netlink
package import PluginKit

/// Gives a pod's link its settings, addresses and routes and brings it up.
package struct LinkSetup: Sendable {
  private let link: Link
  private let settings: LinkSettings
  private let addresses: [CNIResult.IP]
  fileprivate let routes: [CNIResult.Route]
  private let skipsDAD: Bool
  private let parent: String

  /// Plans the setup of a link of the pod.
  ///
  /// The settings are changed with the first message. With `skipsDAD` IPv6 addresses
  /// are used at once. `parent` is where another link may have the same hardware address.
  package init(
    _ link: Link, _ settings: LinkSettings, _ leased: CNIResult, skipsDAD: Bool = false,
    parent: String = ""
  ) {
    self.link = link
    self.settings = settings
    addresses = leased.ips
    routes = leased.routes
    self.skipsDAD = skipsDAD
    self.parent = parent
  }

  /// How long a hardware address may be held by a link that is being removed.
  private static let addressInUseMilliseconds = 1000
  /// The smallest MTU with which the kernel has IPv6 on a link (RFC 8200, section 5).
  private static let leastIPv6MTU: UInt32 = 1280
  /// How long IPv6 addresses may be tentative.
  private static let tentativeMilliseconds = 5000

  private var ipv6: [IPNetwork] {
    addresses.map(\.address).filter { $0.family == .v6 }
  }

  /// Whether addresses cannot be used yet when the link is up.
  fileprivate var needsWait: Bool { !skipsDAD && !ipv6.isEmpty }

  // MARK: Settings, addresses, up

  /// Does everything up to the link being up, in two round trips.
  ///
  /// - Returns: the refusal if another link has the hardware address: see ``bringUp(again:_:_:)``.
  func configure(
    _ pod: inout LinkAccess, _ permit: borrowing Permit
  ) throws(CNIError) -> NetlinkError? {
    try writeSettings(pod.sockets.ipv6, permit)
    var first = settings
    first.ipv4.append((.arpNotify, 1))
    var changes = [NetlinkChange.change(link, first)]
    for ip in addresses { changes.append(.addAddress(interfaceAddress(ip.address))) }
    let outcomes = try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.attempt(changes + [up], permit, deadline: deadline)
    }
    for (place, outcome) in outcomes.dropLast().enumerated() {
      guard let outcome else { continue }
      throw place == 0 ? CNIError(outcome) : refused(addresses[place - 1].address, outcome)
    }
    if let refusal = outcomes.last ?? nil {
      if refusal.errno == .addressInUse { return refusal }
      throw notUp(refusal)
    }
    announce(&pod, permit)
    return nil
  }

  /// Tells the neighbours of IPv6 addresses, which otherwise happens at the end of the detection;
  /// where there is one, nothing.
  ///
  /// The kernel does it (`ndisc_notify`) when the hardware address is set, to the same one too.
  private func announce(_ pod: inout LinkAccess, _ permit: borrowing Permit) {
    guard skipsDAD, !ipv6.isEmpty, let mac = settings.mac ?? link.mac else { return }
    try? pod.change(link, LinkSettings(mac: mac), permit)
  }

  private func interfaceAddress(_ network: IPNetwork) -> InterfaceAddress {
    InterfaceAddress(
      index: link.index, network: network,
      flags: skipsDAD && network.family == .v6 ? .noDAD : [])
  }

  private func refused(_ network: IPNetwork, _ error: NetlinkError) -> CNIError {
    CNIError(error, doing: "failed to add IP addr \(network) to \(goQuoted(link.name))")
  }

  private var up: NetlinkChange { .change(link, LinkSettings(isUp: true)) }

  /// Tries again while the kernel says that the hardware address is in use.
  ///
  /// A link of the same address in a namespace that is being taken down holds it for up to 50 ms,
  /// and nobody announces its end.
  func bringUp(
    again refusal: NetlinkError, _ pod: inout LinkAccess, _ permit: borrowing Permit
  ) throws(CNIError) {
    var refusal = refusal
    let limit = pod.deadline.capped(milliseconds: LinkSetup.addressInUseMilliseconds)
    while refusal.errno == .addressInUse, !limit.isOver {
      Clock.pause(milliseconds: 5)
      do throws(NetlinkError) {
        try pod.sockets.socket.apply([up], permit, deadline: pod.deadline)
        return announce(&pod, permit)
      } catch {
        refusal = error
      }
    }
    throw notUp(refusal)
  }

  private func notUp(_ refusal: NetlinkError) -> CNIError {
    let failure = "failed to set \(goQuoted(link.name)) UP"
    guard refusal.errno == .addressInUse, !parent.isEmpty, let mac = settings.mac ?? link.mac
    else { return CNIError(refusal, doing: failure) }
    return CNIError(refusal, doing: "\(failure): MAC \(mac) is in use on \(parent)")
  }

  /// The settings that have no message: only IPv6 being off is a reason to fail.
  private func writeSettings(
    _ sysctls: borrowing LinkSysctls, _ permit: borrowing Permit
  ) throws(CNIError) {
    if !ipv6.isEmpty {
      let mtu = settings.mtu ?? link.mtu
      if mtu < LinkSetup.leastIPv6MTU {
        throw CNIError(
          .invalidConfiguration,
          "IPv6 needs an MTU of at least \(LinkSetup.leastIPv6MTU); \(goQuoted(link.name)) has "
            + "\(mtu)")
      }
      for name in ["lo", link.name] { try enableIPv6(name, sysctls, permit) }
      try? sysctls.set("keep_addr_on_down", of: link.name, to: "1", permit)
    }
    try? sysctls.set("ndisc_notify", of: link.name, to: "1", permit)
  }

  private func enableIPv6(
    _ name: String, _ sysctls: borrowing LinkSysctls, _ permit: borrowing Permit
  ) throws(CNIError) {
    do throws(SystemError) {
      if try sysctls.value("disable_ipv6", of: name) == "0" { return }
      try sysctls.set("disable_ipv6", of: name, to: "0", permit)
    } catch {
      throw CNIError(
        error, code: .kernel, doing: "failed to enable IPv6 for interface \(goQuoted(name))")
    }
  }

  // MARK: Duplicate address detection

  /// Waits until the kernel has found that nobody else has the IPv6 addresses.
  ///
  /// Without a carrier there is nobody to ask: the kernel does it when one comes.
  ///
  /// - Throws: code 100 if somebody has, or if the kernel does not know after five seconds.
  func awaitAddresses(_ pod: inout LinkAccess) throws(CNIError) {
    var waiting = Set(ipv6.map(\.address))
    if pod.sockets.listener == nil { return }
    if try !has(.lowerUp, &pod) { return }
    try look(&pod, &waiting)
    let limit = pod.deadline.capped(milliseconds: LinkSetup.tentativeMilliseconds)
    while !waiting.isEmpty {
      if let address = try nextAddress(&pod, &waiting, limit) { try settle(address, &waiting) }
    }
  }

  private func has(_ flag: LinkFlags, _ pod: inout LinkAccess) throws(CNIError) -> Bool {
    try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.link(index: link.index, deadline: deadline)?.flags.contains(flag) ?? false
    }
  }

  /// The next address that is announced; nil if something else was, or when
  /// announcements were lost.
  private func nextAddress(
    _ pod: inout LinkAccess, _ waiting: inout Set<IPAddress>, _ limit: Deadline
  ) throws(CNIError) -> InterfaceAddress? {
    let refusal: NetlinkError
    do throws(NetlinkError) {
      if case .address(let address)? = try pod.sockets.listener?.next(deadline: limit) {
        return address
      }
      return nil
    } catch {
      refusal = error
    }
    switch refusal.errno {
    case .noBuffers: try look(&pod, &waiting)
    case .timedOut where !pod.deadline.isOver:
      // The carrier has gone, or does not let anything pass yet.
      if try !has(.running, &pod) {
        waiting = []
        return nil
      }
      throw CNIError(
        .kernel,
        "link \(link.name) still has tentative addresses after "
          + "\(LinkSetup.tentativeMilliseconds / 1000) seconds",
        details: waiting.map(\.description).sorted().joined(separator: " "))
    default: throw CNIError(refusal)
    }
    return nil
  }

  /// Reads the addresses as they are now.
  private func look(
    _ pod: inout LinkAccess, _ waiting: inout Set<IPAddress>
  ) throws(CNIError) {
    let now = try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.addresses(of: link.index, family: .v6, deadline: deadline)
    }
    for address in now { try settle(address, &waiting) }
  }

  private func settle(
    _ address: InterfaceAddress, _ waiting: inout Set<IPAddress>
  ) throws(CNIError) {
    guard address.index == link.index, waiting.contains(address.network.address) else { return }
    if address.flags.contains(.dadFailed) {
      throw CNIError(
        .kernel,
        "duplicate address detected: \(address.network.address) on \(goQuoted(link.name))",
        details: "another host on this network answered for the address")
    }
    if !address.flags.contains(.tentative) { waiting.remove(address.network.address) }
  }

  // MARK: Routes

  /// Adds the routes; exactly the same one twice is one.
  func addRoutes(_ pod: inout LinkAccess, _ permit: borrowing Permit) throws(CNIError) {
    let changes = routes.map { NetlinkChange.addRoute(route($0)).tolerating(.exists) }
    let outcomes = try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.attempt(changes, permit, deadline: deadline)
    }
    for (route, outcome) in zip(routes, outcomes) {
      guard let outcome else { continue }
      throw CNIError(
        outcome,
        doing: "failed to add route \(route.dst) on \(goQuoted(link.name))"
          + (Self.unreachable.contains(outcome.errno) ? unreachable(route) : ""))
    }
  }

  // What it says of a gateway of IPv4, and of one of IPv6.
  private static let unreachable: [Errno] = [.networkUnreachable, .hostUnreachable]

  /// Why the kernel says that it cannot reach a route's gateway.
  private func unreachable(_ wanted: CNIResult.Route) -> String {
    guard let gateway = route(wanted).gateway else { return "" }
    let networks = addresses.map(\.address).filter { $0.family == gateway.family }
    let name = goQuoted(link.name)
    if networks.isEmpty { return ": \(name) has no address of the family of gateway \(gateway)" }
    let list = networks.map(\.description).joined(separator: ", ")
    return ": gateway \(gateway) is in no network of \(name) (\(list))"
  }

  /// The kernel's route for one of the result; without a gateway that of the first
  /// address of its family.
  private func route(_ wanted: CNIResult.Route) -> Route {
    let gateways = addresses.compactMap(\.gateway)
    let gateway = wanted.gw ?? gateways.first { $0.family == wanted.dst.family }
    var route = Route(to: wanted.dst, via: gateway, index: link.index)
    route.mtu = wanted.mtu
    route.advertisedMSS = wanted.advmss
    route.priority = wanted.priority
    if let table = wanted.table { route.table = table }
    route.scope = wanted.scope
    return route
  }
}

extension PodSession {
  /// Gives links of the pod their settings and addresses and brings them up, waits for duplicate
  /// address detection where there is any, and adds routes where there are any; a step each.
  package mutating func configure<Step: PluginStep>(
    _ setups: [LinkSetup], _ configure: Step, _ awaitAddresses: Step, _ addRoutes: Step,
    _ journal: Journal<Step>
  ) throws(CNIError) {
    let held = try journal.perform(configure) { permit throws(CNIError) in
      var held: [(setup: LinkSetup, refusal: NetlinkError)] = []
      for setup in setups {
        if let refusal = try setup.configure(&pod, permit) { held.append((setup, refusal)) }
      }
      return held
    }
    if !held.isEmpty {
      try journal.waiting(configure) { permit throws(CNIError) in
        for (setup, refusal) in held { try setup.bringUp(again: refusal, &pod, permit) }
      }
    }
    for setup in setups where setup.needsWait {
      try journal.waiting(awaitAddresses) { _ throws(CNIError) in
        try setup.awaitAddresses(&pod)
      }
    }
    try self.addRoutes(setups, addRoutes, journal)
  }

  /// Adds the routes of links of the pod, if they have any.
  package mutating func addRoutes<Step: PluginStep>(
    _ setups: [LinkSetup], _ step: Step, _ journal: Journal<Step>
  ) throws(CNIError) {
    if setups.allSatisfy(\.routes.isEmpty) { return }
    try journal.perform(step) { permit throws(CNIError) in
      for setup in setups { try setup.addRoutes(&pod, permit) }
    }
  }
}
