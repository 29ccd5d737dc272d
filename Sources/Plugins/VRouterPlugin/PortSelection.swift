import Addresses
import CNI
import Linux
import PluginKit
import Workbench
import VRouterAgent

/// Which of the agent's interfaces an ADD wires, under which names.
struct PortSelection: Sendable {
  private let request: PodRequest
  private let cni: ContrailCni
  /// What `/vm-cfg` has answered, in the order of the index.
  private let objects: [VRouter.Result]
  /// The port files of the pod.
  private let files: [PortFile]
  /// The links by which the agent knows interfaces that were detached.
  private let known: [VRouterUUID: String]

  /// Takes the interfaces among which to choose.
  init(
    _ request: PodRequest, _ cni: ContrailCni, _ objects: [VRouter.Result], _ files: [PortFile],
    known: [VRouterUUID: String] = [:]
  ) {
    self.known = known
    self.request = request
    self.cni = cni
    self.files = files
    self.objects = objects.sorted {
      ($0.annotations.index?.number ?? .max) < ($1.annotations.index?.number ?? .max)
    }
  }

  /// The interfaces to wire.
  ///
  /// - Throws: code 102 if the agent has none for the network, or one that cannot be made.
  func ports() throws(CNIError) -> [PodPort] {
    let own = objects.first { name(of: $0) == request.ifName }
    if MetaMode.isOn(request, cni) || own == nil && MetaMode.isLikely(request, cni) {
      return [try portOfNetwork()]
    }
    // The runtime looks for its interface, whatever the annotation says.
    let primary = own ?? defaultObject
    var ports: [PodPort] = []
    for object in objects {
      let isPrimary = object.id == primary?.id
      ports.append(
        try port(
          object, named: isPrimary ? request.ifName : name(of: object), isPrimary: isPrimary,
          hasDefaultRoute: isPrimary))
    }
    for port in ports where ports.count(where: { $0.port.ifName == port.port.ifName }) > 1 {
      throw refusal("the agent names two interfaces \(goQuoted(port.port.ifName))")
    }
    return ports
  }

  private func refusal(_ reason: String, details: String = "") -> CNIError {
    CNIError(.vRouterAgent, "pod \(request.title): \(reason)", details: details)
  }

  // MARK: All of them

  /// The name in the pod: what the user asked for, else by the index.
  private func name(of object: VRouter.Result) -> String {
    if !object.annotations.interface.isEmpty { return object.annotations.interface }
    return "eth\(object.annotations.index?.number ?? 0)"
  }

  /// The interface of the pod's own network.
  private var defaultObject: VRouter.Result? {
    objects.first { $0.annotations.network == "default" }
      ?? objects.first { $0.annotations.index?.number == 0 } ?? objects.first
  }

  // MARK: One of them

  /// The one interface of the configuration's network.
  private func portOfNetwork() throws(CNIError) -> PodPort {
    let isDefault = MetaMode.isDefaultNetwork(cni)
    let wanted = isDefault ? "default" : cni.networkName
    var candidates = objects.filter { $0.annotations.network == wanted }
    if candidates.isEmpty, isDefault { candidates = [defaultObject].compactMap { $0 } }
    if candidates.isEmpty {
      let known = objects.map { goQuoted($0.annotations.network) }.joined(separator: ", ")
      throw refusal(
        "the agent has no interface of network \(goQuoted(wanted)) for it",
        details: "there are \(known); this call is taken to be for one network (contrail.meta-mode)"
      )
    }
    let free = candidates.filter { !isTaken($0) }
    let named = free.first { $0.annotations.interface == request.ifName }
    guard let object = named ?? free.first else {
      throw refusal(
        "every interface of network \(goQuoted(wanted)) is attached already",
        details: candidates.map(\.id.text).joined(separator: ", "))
    }
    return try port(
      object, named: request.ifName, isPrimary: true,
      hasDefaultRoute: object.id == defaultObject?.id)
  }

  /// Whether another attachment of the same sandbox has an interface.
  private func isTaken(_ object: VRouter.Result) -> Bool {
    files.contains { file in
      file.interface == object.id && file.containerID == request.sandboxID
        && file.ifName != request.ifName
    }
  }

  // MARK: What is made of it

  private func port(
    _ object: VRouter.Result, named ifName: String, isPrimary: Bool, hasDefaultRoute: Bool
  ) throws(CNIError) -> PodPort {
    guard let uuid = object.vmUUID, let network = object.vnID else {
      throw refusal("the agent's answer lacks vm-uuid or vn-id of interface \(object.id)")
    }
    do throws(CNIError) {
      try CNIValidation.interfaceName(ifName)
    } catch {
      throw refusal("the agent names an interface \(goQuoted(ifName))", details: error.message)
    }
    var port = VRouter.Port(
      containerID: request.sandboxID, name: cni.containerName, hostLink: "", ifName: ifName,
      netns: request.netns, uuid: uuid, network: network, interface: object.id)
    let id = try vlanID(object)
    let link = id == nil ? tap(ifName, uuid, object.id) : LinkNames.vlan(ifName, uuid)
    port.hostLink = id == nil ? link : cni.parentInterface
    return PodPort(
      port: port, link: link, hostMAC: id == nil ? try .random() : nil, vlanID: id,
      isPrimary: isPrimary, hasDefaultRoute: hasDefaultRoute, mac: object.mac)
  }

  /// The name that the agent knows from before, else the one by the rule.
  private func tap(_ ifName: String, _ uuid: VRouterUUID, _ interface: VRouterUUID) -> String {
    let file = files.first { $0.interface == interface && $0.uuid == uuid }
    let heard = file.flatMap { $0.ifName == ifName ? $0.hostLink : nil } ?? known[interface]
    guard let heard, LinkNames.isTap(heard), (try? CNIValidation.interfaceName(heard)) != nil
    else { return LinkNames.tap(ifName, uuid) }
    return heard
  }

  /// The VLAN of an interface, where VLANs are used.
  private func vlanID(_ object: VRouter.Result) throws(CNIError) -> UInt16? {
    guard cni.usesVLANs else { return nil }
    guard let number = object.vlanID, let id = UInt16(exactly: number), (1...4094).contains(id)
    else {
      let text = object.vlanID.map { "\($0)" } ?? "none"
      throw refusal(
        "interface \(object.id) has VLAN \(text) at the agent, which is not from 1 to 4094",
        details:
          "vif-type macvlan is for pods inside of virtual machines, whose interfaces have VLANs")
    }
    return id
  }
}
