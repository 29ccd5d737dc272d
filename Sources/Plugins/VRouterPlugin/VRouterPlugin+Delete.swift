import Addresses
package import CNI
import Linux
import Netlink
package import PluginKit
import Workbench
import VRouterAgent

extension VRouterPlugin {
  /// Removes links and port files, if they are the attachment's, and has the agent forget the pod with its last interface.
  ///
  /// The pod's namespace is never entered. An agent that is not there remembers nothing, so nothing is owed to it; one that does
  /// not answer is told later, unless the pod has come again by then. Also the undo of a failed ADD, from whatever
  /// state that left.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let attached = try attachment(of: call)
    try call.whileAlone(Self.lock(named: attached.name)) { () throws(CNIError) in
      try remove(attached, call)
    }
  }

  private func remove(_ attached: PodAttachment, _ call: PluginCall<Step>) throws(CNIError) {
    let files = try files(of: attached, call)
    let removal = Removal(attached, call, files, try linksOfNode(call, files))
    try call.journal.perform(.deleteLinks) { permit throws(CNIError) in
      try removeLinks(removal, call.request, permit)
    }
    // Without a record the file is all that tells of a port which the agent still has to forget.
    if call.record != nil { try removeFiles(removal, call) }
    let missing = try withdraw(removal, call)
    // An agent that was late with the announcement has written the file again, before it forgot the port.
    if missing == nil, call.record == nil || removal.withdrawn != nil {
      try removeFiles(removal, call)
    }
    let unheard = try unregister(attached.manager, call)
    try settle(missing ?? unheard, call)
  }

  /// What the attachment consists of: by its record, else by the port files of its container.
  func attachment(of call: PluginCall<Step>) throws(CNIError) -> PodAttachment {
    let request = call.request
    let cni = try settings(for: request, .lenient)
    if let record = call.record { return PodAttachment(record, cni) }
    let isOne = MetaMode.isOn(request, cni) || MetaMode.isLikely(request, cni)
    return try mapped(pod: request.title) { () throws(VRouterError) in
      try PodAttachment(of: request, cni, ownInterfaceOnly: isOne)
    }
  }

  /// The pod's port files, as they are now.
  private func files(
    of attached: PodAttachment, _ call: PluginCall<Step>
  ) throws(CNIError) -> [PortFile] {
    if attached.name.isEmpty { return [] }
    return try mapped(pod: call.request.title) { () throws(VRouterError) in
      try attached.vrouter.files.list(name: attached.name)
    }
  }

  /// The node's links, where only their marks may tell which are the attachment's.
  private func linksOfNode(
    _ call: PluginCall<Step>, _ files: [PortFile]
  ) throws(CNIError) -> [Link] {
    if call.record != nil, files.allSatisfy(\.isReadable) { return [] }
    let deadline = call.request.deadline
    return try mapped { () throws(NetlinkError) in
      var node = try NetlinkSocket()
      return try node.links(deadline: deadline)
    }
  }

  private func removeLinks(
    _ removal: Removal, _ request: PodRequest, _ permit: borrowing Permit
  ) throws(CNIError) {
    for link in removal.links {
      try removeLink(link.name, request.deadline, permit, where: link.owns)
    }
  }

  private func removeFiles(_ removal: Removal, _ call: PluginCall<Step>) throws(CNIError) {
    let attached = removal.attachment
    if attached.name.isEmpty || !removal.isKnown { return }
    try call.journal.perform(.removePorts) { permit throws(CNIError) in
      try mapped(pod: call.request.title) { () throws(VRouterError) in
        let files = attached.vrouter.files
        for port in removal.detached {
          try files.remember(port.link, of: port.interface, port.port.uuid, permit)
        }
        try files.removeUnfinished(attached.ports.map(\.interface), permit)
        try files.remove(name: attached.name, interfaces: removal.files, permit)
      }
    }
  }

  /// Has the agent forget the pod, if no other interface of it is left.
  ///
  /// - Returns: why it could not; nil if it has, or has nothing to forget.
  private func withdraw(
    _ removal: Removal, _ call: PluginCall<Step>
  ) throws(CNIError) -> CNIError? {
    guard let uuid = removal.withdrawn else { return nil }
    let (vrouter, request) = (removal.attachment.vrouter, call.request)
    if isMute(vrouter) {
      return CNIError(.tryAgainLater, "the vRouter agent has just not answered")
    }
    var missing: CNIError?
    try call.journal.waiting(.withdrawPorts) { permit throws(CNIError) in
      do throws(VRouterError) {
        try vrouter.withdraw(
          uuid, containerID: request.sandboxID, permit, deadline: request.deadline)
      } catch {
        switch error.reason {
        case .unreachable(_, refused: true): return
        case .refused(let status, _) where status < 500:
          // It has heard, and will not say anything else another time.
          try requireHost().log(.warning, "DEL of pod \(request.title): \(error)")
        case .unreachable where !request.deadline.isOver:
          noteMute(vrouter)
          missing = CNIError(error, pod: request.title)
        case .unreachable, .refused, .notReady: missing = CNIError(error, pod: request.title)
        case .cancelled, .invalidName, .file, .failed: throw CNIError(error, pod: request.title)
        }
      }
    }
    return missing
  }

  private func unregister(
    _ manager: MesosManager?, _ call: PluginCall<Step>
  ) throws(CNIError) -> CNIError? {
    guard let manager else { return nil }
    var missing: CNIError?
    try call.journal.waiting(.unregisterContainer) { permit throws(CNIError) in
      do throws(CNIError) {
        try manager.tell(.delete, call.request, permit)
      } catch {
        switch error.code {
        case .deadline: throw error
        case .tryAgainLater: missing = error
        // It has heard, and will not say anything else another time.
        default:
          try requireHost().log(.warning, "DEL of container \(call.request.sandboxID): \(error)")
        }
      }
    }
    return missing
  }

  /// What somebody else still has to hear is told later; the pod itself is detached.
  private func settle(_ missing: CNIError?, _ call: PluginCall<Step>) throws(CNIError) {
    guard let missing else { return }
    if call.record != nil { return call.postpone("\(missing)") }
    try requireHost().log(
      .warning, "DEL of pod \(call.request.title) without a record: not all was told: \(missing)")
  }
}

/// What of an attachment is to be removed.
private struct Removal: Sendable {
  /// A link of the node.
  struct NodeLink: Sendable {
    let name: String
    /// Whether a link of that name is the attachment's.
    let owns: @Sendable (Link) -> Bool
  }

  let attachment: PodAttachment
  /// The links of the node.
  let links: [NodeLink]
  /// Whether anything tells of the attachment.
  let isKnown: Bool
  /// The interfaces whose files are the attachment's.
  let files: [VRouterUUID]
  /// The interfaces that the agent goes on knowing, because others of the pod stay.
  let detached: [PodPort]
  /// The pod that the agent has to forget; nil while another attachment has it.
  let withdrawn: VRouterUUID?

  /// Finds out, under the pod's lock, what is the attachment's and what another sandbox has taken over.
  ///
  /// - Parameters:
  ///   - attachment: what the attachment made.
  ///   - call: the call.
  ///   - present: the pod's port files.
  ///   - nodeLinks: the node's links, where record and files do not say everything.
  init(
    _ attachment: PodAttachment, _ call: PluginCall<VRouterPlugin.Step>, _ present: [PortFile],
    _ nodeLinks: [Link]
  ) {
    let request = call.request
    let mark = request.mark
    self.attachment = attachment
    func isOthers(_ port: PodPort) -> Bool {
      guard let file = present.first(where: { $0.interface == port.interface }) else {
        return false
      }
      if file.isReadable { return file.containerID != request.sandboxID }
      return nodeLinks.contains {
        $0.name == port.link && OwnerMark.isMark($0.alias) && !mark.matches(alias: $0.alias)
      }
    }
    let own = attachment.ports.filter { !isOthers($0) }
    var links = own.filter(\.usesVLAN).flatMap { Removal.vlans($0) }
    links += attachment.ports.filter { !$0.usesVLAN && !$0.link.isEmpty }.map {
      Removal.pair($0, mark, isUnmarkedOwn: call.record == nil)
    }
    let marked = nodeLinks.filter { mark.matches(alias: $0.alias) }
    links += marked.map { link in NodeLink(name: link.name) { mark.matches(alias: $0.alias) } }
    // Of a port file anything may have become; no link has a name that cannot be one.
    self.links = links.filter { (try? CNIValidation.interfaceName($0.name)) != nil }
    var files = own.map(\.interface)
    if call.record == nil, !marked.isEmpty {
      // A damaged file beside a link with our mark was that link's.
      files += present.filter { !$0.isReadable }.map(\.interface)
    }
    self.files = files
    let isLeft = present.contains { file in
      file.isReadable && file.uuid == attachment.uuid && !files.contains(file.interface)
    }
    detached =
      isLeft
      ? own.filter { port in
        !port.usesVLAN && present.contains { $0.interface == port.interface && $0.isReadable }
      } : []
    isKnown = !attachment.ports.isEmpty || !marked.isEmpty
    let isOwed = (!files.isEmpty || !marked.isEmpty) && !isLeft && !own.contains(where: \.usesVLAN)
    withdrawn = isOwed && attachment.uuid != VRouterUUID.none ? attachment.uuid : nil
  }

  /// A veth pair's end: it has the mark; or none yet, and the address that the plan names, or no plan to say otherwise.
  private static func pair(
    _ port: PodPort, _ mark: OwnerMark, isUnmarkedOwn: Bool
  ) -> NodeLink {
    let mac = port.hostMAC
    return NodeLink(name: port.link) { link in
      if mark.matches(alias: link.alias) { return true }
      guard link.kind == "veth", !OwnerMark.isMark(link.alias) else { return false }
      return isUnmarkedOwn || mac != nil && link.mac == mac
    }
  }

  /// A VLAN link, which has the pod's macvlan link on it: it has the alias of a VLAN, or none yet.
  private static func vlans(_ port: PodPort) -> [NodeLink] {
    let id = port.vlanID
    let owns: @Sendable (Link) -> Bool = { link in
      guard link.kind == "vlan", id == nil || link.vlanID == id else { return false }
      return link.alias.isEmpty || link.alias.utf8.starts(with: LinkNames.vlanAliasPrefix.utf8)
    }
    let reference = LinkNames.reference("vlan", port.port.ifName, port.port.uuid)
    return Set([port.link, reference]).sorted().map { NodeLink(name: $0, owns: owns) }
  }
}
