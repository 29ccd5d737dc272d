package import CNI
import Linux
import Netlink
package import PluginKit
import VRouterAgent
import Workbench

extension VRouterPlugin {
  /// Removes port files, links and what the agent remembers of attachments that are
  /// not valid any more.
  ///
  /// What has its link stays: a pair of which one end is there has its other end in a namespace
  /// that lives, and a VLAN link may have the pod's on it. Neither files nor links say to which
  /// network they belong; so `gcLiving` counts only in the network that every pod has. A pod that a
  /// call works on has its turn when that has ended.
  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    let cni = try settings(for: call.request, .strict, call.host)
    let garbage = Garbage(
      containers: Set(valid.map(\.containerID)), isOfEveryPod: isOfEveryPod(cni),
      takesLiving: call.collectsLiving)
    let vrouter = cni.vrouter
    let names = try mapped("") { () throws(VRouterError) in try vrouter.files.names() }
    var failures: [CNIError] = []
    try call.journal.waiting(.collectPorts) { permit throws(CNIError) in
      for name in names {
        do throws(CNIError) {
          try call.whileAlone(Self.lock(named: name)) { () throws(CNIError) in
            try collect(name, garbage, vrouter, call, permit)
          }
        } catch {
          failures.append(error)
        }
      }
      if garbage.isOfEveryPod { try collectLinks(garbage, call, permit) }
    }
    if let first = failures.first { throw first }
  }

  /// The caller tells nothing here: a network of another name may be one of several that pods have.
  private func isOfEveryPod(_ cni: ContrailCni) -> Bool {
    cni.isMeta == false || cni.mode == .mesos || MetaMode.isDefaultNetwork(cni)
  }

  private func collect(
    _ name: String, _ garbage: Garbage, _ vrouter: VRouter, _ call: PluginCall<Step>,
    _ permit: borrowing Permit
  ) throws(CNIError) {
    let deadline = call.request.deadline
    let files = try mapped(name) { () throws(VRouterError) in
      try vrouter.files.list(name: name)
    }
    var old: [PortFile] = []
    for file in files where !garbage.containers.contains(file.containerID) {
      var isOld = garbage.takesLiving && garbage.isOfEveryPod && file.isReadable
      if !isOld { isOld = try isWithoutLink(file, deadline) }
      if isOld {
        old.append(file)
      } else if garbage.isOfEveryPod {
        call.spare("port \(file.interface) of container \(file.containerID)")
      }
    }
    for file in old {
      guard let link = file.linkName else { continue }
      let kind = LinkNames.isTap(link) ? "veth" : "vlan"
      let container = file.containerID
      try call.host.removeLink(link, permit, deadline) { link, _ in
        link.kind == kind
          && (!OwnerMark.isMark(link.alias) || OwnerMark.isMark(link.alias, ofContainer: container))
      }
    }
    for file in old {
      let isLast = !files.contains { other in
        other.uuid == file.uuid && !old.contains { $0.interface == other.interface }
      }
      if isLast, let uuid = file.uuid, LinkNames.isTap(file.hostLink) {
        let missing = try forget(uuid, file.containerID, vrouter, pod: name, call, permit)
        if let missing { throw missing }
      }
      try mapped(name) { () throws(VRouterError) in
        try vrouter.files.remove(name: name, interfaces: [file.interface], permit)
      }
    }
  }

  /// Removes links with a mark of a container that is not listed; what is there is a living pod's.
  private func collectLinks(
    _ garbage: Garbage, _ call: PluginCall<Step>, _ permit: borrowing Permit
  ) throws(CNIError) {
    let deadline = call.request.deadline
    var node = try LinkAccess(deadline: deadline)
    for link in try node.links() where LinkNames.isTap(link.name) && garbage.isMarked(link) {
      let alias = link.alias
      guard garbage.takesLiving else {
        call.spare("link \(link.name) of \(alias)")
        continue
      }
      try call.host.removeLink(link.name, permit, deadline) { link, _ in link.alias == alias }
    }
  }
}

/// What is not valid any more.
private struct Garbage: Sendable {
  /// The containers that are.
  let containers: Set<String>
  /// Whether every pod has an attachment to the network.
  let isOfEveryPod: Bool
  /// Whether living pods are spared no more than others.
  let takesLiving: Bool

  func isMarked(_ link: Link) -> Bool {
    OwnerMark.isMark(link.alias)
      && !containers.contains { OwnerMark.isMark(link.alias, ofContainer: $0) }
  }
}
