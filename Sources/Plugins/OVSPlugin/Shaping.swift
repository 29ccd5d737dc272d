import CNI
import Linux
import Netlink
import PluginKit
import Workbench

/// Sees to it that a pod's limits are in force, whatever Open vSwitch can do on this kernel.
///
/// Open vSwitch sets a queue on the port's link (towards the pod) and a policer at its entrance
/// (from the pod). Where the kernel lacks what they need it only writes a warning to its own log.
/// So each is looked for in the kernel, and a token bucket takes the place of one that is missing:
/// on the host's end towards the pod, on the pod's end from it. It goes with the link. A policer
/// says nothing about a bridge in user space, whose switch takes the packets before it sees them.
struct Shaping: Sendable {
  let limits: Bandwidth
  let hostLink: Link
  let podLink: Link
  let isUserspace: Bool
  let owner: Switch
  let log: @Sendable (LogLevel, String) -> Void

  /// Milliseconds that the settings of Open vSwitch may take to be seen: it reports ready
  /// before they are.
  private static let patience = 50

  /// Looks whether the limits are in force, and puts token buckets where they are not.
  ///
  /// - Throws: code 101 if a limit cannot be enforced either way.
  func enforce(_ session: inout PodSession, _ permit: borrowing Permit) throws(CNIError) {
    let request = session.request
    if let limit = limits.ingress {
      let isQueued = try eventually(&session.node) { node, deadline throws(NetlinkError) in
        try node.trafficClasses(of: hostLink.index, deadline: deadline).contains { entry in
          entry.hierarchical.map { Self.matches($0.ceiling, limit) } ?? false
        }
      }
      // ovs-vswitchd would remove a token bucket in the queue's place when it tries again.
      if !isQueued { try owner.retireQueue(of: request, permit) }
      try settle(
        "ingress", limit, isQueued, "linux-htb of Open vSwitch", hostLink, &session.node, permit)
    } else {
      try removeBucket(hostLink, &session.node, permit)
    }
    if let limit = limits.egress {
      let isPoliced = try eventually(&session.node) { node, deadline throws(NetlinkError) in
        try node.ingressFilters(of: hostLink.index, deadline: deadline).contains { filter in
          filter.actions.contains { $0.police.map { Self.matches($0.rate, limit) } ?? false }
        }
      }
      let counts = isPoliced && !isUserspace
      try settle("egress", limit, counts, "policing of Open vSwitch", podLink, &session.pod, permit)
    } else {
      try removeBucket(podLink, &session.pod, permit)
    }
  }

  /// ovs-vswitchd has said that it is ready (`cur_cfg`), so there is only a little patience.
  private func eventually(
    _ access: inout LinkAccess,
    _ isTrue: (inout NetlinkSocket, Deadline) throws(NetlinkError) -> Bool
  ) throws(CNIError) -> Bool {
    let limit = access.deadline.capped(milliseconds: Self.patience)
    while true {
      if try access.ask("cannot see whether bandwidth limits are in force", isTrue) { return true }
      if limit.isOver { return false }
      Clock.pause(milliseconds: 10)
    }
  }

  /// Whether a rate of the kernel, in bytes per second, is a limit's, in bits: policers
  /// know kilobits only.
  private static func matches(_ bytes: UInt64, _ limit: Bandwidth.Limit) -> Bool {
    let wanted = Double(limit.rate) / 8
    return abs(Double(bytes) - wanted) <= max(wanted / 50, 125)
  }

  private func settle(
    _ direction: String, _ limit: Bandwidth.Limit, _ isInForce: Bool, _ means: String, _ link: Link,
    _ access: inout LinkAccess, _ permit: borrowing Permit
  ) throws(CNIError) {
    if let excess = limit.excess {
      log(
        .warning,
        "\(direction) burst of \(excess) bit on \(hostLink.name): more than a second's, cut to "
          + "\(limit.rate) bit")
    }
    if isInForce {
      try removeBucket(link, &access, permit)
      log(.info, "\(direction) limit of \(limit.rate) bit/s on \(hostLink.name): by \(means)")
      return
    }
    do throws(NetlinkError) {
      let bucket = TokenBucket(limit, mtu: link.mtu)
      try access.sockets.socket.apply(
        [.setTokenBucket(index: link.index, name: link.name, bucket)], permit,
        deadline: access.deadline)
    } catch {
      throw CNIError(
        .openVSwitch,
        "\(direction) limit of \(limit.rate) bit/s cannot be enforced on \(goQuoted(link.name))",
        details: "\(means) is not in force here, and no token bucket can be set: \(error)"
      )
    }
    log(
      .info,
      "\(direction) limit of \(limit.rate) bit/s on \(hostLink.name): by a token bucket on "
        + "\(link.name), as \(means) is not in force here")
  }

  private func removeBucket(
    _ link: Link, _ access: inout LinkAccess, _ permit: borrowing Permit
  ) throws(CNIError) {
    try access.ask { socket, deadline throws(NetlinkError) in
      let root = try socket.queueDisciplines(of: link.index, deadline: deadline)
      guard root.contains(where: { $0.parent == .root && $0.kind == "tbf" }) else { return }
      try socket.apply(
        [.removeRootQueue(index: link.index, name: link.name, kind: "tbf")], permit,
        deadline: deadline)
    }
  }
}

extension TokenBucket {
  /// A bucket for a limit: at least a few packets fit, and nothing waits longer than 50 ms.
  init(_ limit: Bandwidth.Limit, mtu: UInt32) {
    let rate = limit.rate / 8
    // A veth link hands over packets of up to 64 KiB, which the kernel cuts if they do not fit.
    let burst = min(max(limit.effectiveBurst / 8, UInt64(mtu) * 4), UInt64(UInt32.max) / 2)
    self.init(rate: rate, burst: UInt32(burst), latency: 50)
  }
}
