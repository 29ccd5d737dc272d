import Addresses
import CNI
import Netlink
import PluginKit
import VRouterAgent
import Workbench

/// The parts of an attachment that must be removed.
struct PodRemoval: Sendable {
  struct NodeLink: Sendable {
    let name: String
    /// Whether a link of that name is the attachment's.
    let owns: LinkRemover.Condition
  }

  let attachment: PodAttachment
  let links: [NodeLink]
  /// Whether anything tells of the attachment.
  let isKnown: Bool
  /// The interfaces whose files are the attachment's.
  let files: [VRouterUUID]
  /// The interfaces that the agent goes on knowing, because others of the pod stay.
  let detached: [PodPort]
  /// The pod that the agent has to forget; nil while another attachment has it.
  let withdrawn: VRouterUUID?

  /// Finds out, under the pod's lock, what is the attachment's and what another
  /// sandbox has taken over.
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
    var links = own.filter(\.usesVLAN).flatMap { PodRemoval.vlans($0) }
    links += attachment.ports.filter { !$0.usesVLAN && !$0.link.isEmpty }.map {
      PodRemoval.pair($0, mark, hasRecord: call.record != nil)
    }
    let marked = nodeLinks.filter { mark.matches(alias: $0.alias) }
    links += marked.map { marked in
      NodeLink(name: marked.name) { link, _ in mark.matches(alias: link.alias) }
    }
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

  /// A veth pair's end.
  private static func pair(_ port: PodPort, _ mark: OwnerMark, hasRecord: Bool) -> NodeLink {
    let plan = hasRecord ? LinkOwnership.Plan([port.hostMAC].compactMap { $0 }) : nil
    let ownership = LinkOwnership(mark: mark, kind: "veth", plan: plan, unrecorded: .reference)
    return NodeLink(name: port.link, owns: ownership.owns)
  }

  /// A VLAN link, which has the pod's macvlan link on it: it has the alias of a VLAN, or none yet.
  private static func vlans(_ port: PodPort) -> [NodeLink] {
    let id = port.vlanID
    let owns: LinkRemover.Condition = { link, _ in
      guard link.kind == "vlan", id == nil || link.vlanID == id else { return false }
      return link.alias.isEmpty || link.alias.utf8.starts(with: LinkNames.vlanAliasPrefix.utf8)
    }
    let reference = LinkNames.reference("vlan", port.port.ifName, port.port.uuid)
    return Set([port.link, reference]).sorted().map { NodeLink(name: $0, owns: owns) }
  }
}
