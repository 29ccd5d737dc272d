package import CNI
import Linux
import Netlink
package import PluginKit
import VRouterAgent
import Workbench

extension VRouterPlugin {
  /// Joins the pod to the vRouter: all of its interfaces, or the one of the
  /// configuration's network.
  ///
  /// Nothing is changed before the agent has said what the pod has. What fails afterwards is
  /// undone by `delete`.
  package func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let previous = try request.configuration.prevResult()
    let cni = try settings(for: request, .strict, call.host)
    // GC of another network works on the same pods.
    let result = try call.whileAlone(Self.lock(named: cni.containerName)) { () throws(CNIError) in
      try add(call, cni)
    }
    return if let previous { result.appended(to: previous) } else { result }
  }

  private func add(_ call: AddCall<Step>, _ cni: ContrailCni) throws(CNIError) -> CNIResult {
    let (request, vrouter, name) = (call.request, cni.vrouter, cni.containerName)
    vrouter.log()
    defer { vrouter.close() }
    var links = try PodLinks(request, cni)
    let limit = request.deadline.capped(milliseconds: cni.addMilliseconds)
    let namespace = try links.identity()
    let manager = try register(call, cni, namespace)
    let objects = try call.waiting { () throws(CNIError) in
      try interfaces(of: request, cni, vrouter, limit)
    }
    note(isAnswering: true)
    if (try? Files.status(cni.directory)) == nil {
      call.host.log(
        .warning,
        "the vRouter agent answers, and its port files' directory \(cni.directory) is not there: "
          + "if contrail.config-dir is wrong, an agent that is started again will not know its pods"
      )
    }
    let (files, known) = try mapped(request.title) { () throws(VRouterError) in
      (
        try vrouter.files.list(name: name),
        try objects.first?.vmUUID.map { uuid throws(VRouterError) in
          try vrouter.files.knownLinks(of: uuid)
        } ?? [:]
      )
    }
    let ports = try PortSelection(request, cni, objects, files, known: known).ports()
    try links.take(ports, files, vrouter.files)
    let owed = try call.claim(PlannedAgent(cni).names(of: links.ports))
    let journal = try call.record(
      plan: [PlannedAgent(cni).planned] + links.ports.map(\.planned)
        + (manager.map { [$0.planned] } ?? []),
      namespace: namespace)
    try forgetOwed(owed, call, files, vrouter, journal)
    try collectStale(call, links.ports, objects, files, vrouter, journal)
    try createLinks(&links, call, cni, journal)
    let answers = try announce(
      links.ports, vrouter, usesVLANs: cni.usesVLANs, pod: request.title, limit, journal)
    try links.configure(answers, journal)
    return try links.result(answers)
  }

  /// What the agent has for the pod.
  private func interfaces(
    of request: PodRequest, _ cni: ContrailCni, _ vrouter: VRouter, _ limit: Deadline
  ) throws(CNIError) -> [VRouter.Result] {
    do throws(VRouterError) {
      return try vrouter.pollVMConfig(
        cni.containerName, uuid: VRouterUUID(cni.containerUUID), deadline: limit)
    } catch {
      if error.isAbsence { note(isAnswering: false) }
      guard case .unknownPod(let name, let count) = error.reason else {
        throw CNIError(error, doing: request.title)
      }
      // A pod's name at the agent begins with it, so it is what is most often wrong.
      let cluster = cni.mode == .k8s ? " (cluster-name \(goQuoted(cni.clusterName)))" : ""
      throw CNIError(
        .tryAgainLater,
        "the vRouter agent at \(vrouter.address) knows no pod \(goQuoted(name))\(cluster); "
          + "asked \(count) times",
        details: "the agent is asked again with the next ADD")
    }
  }

  /// Tells the Mesos manager, without which the controller would know of no container.
  ///
  /// The first of two records, as the interfaces are not known before.
  private func register(
    _ call: AddCall<Step>, _ cni: ContrailCni, _ namespace: NamespaceIdentity
  ) throws(CNIError) -> MesosManager? {
    guard cni.mode == .mesos else { return nil }
    guard let manager = MesosManager(cni) else {
      throw CNIError(.invalidConfiguration, "mode mesos needs contrail.mesos-ip and mesos-port")
    }
    let journal = try call.record(plan: [manager.planned], namespace: namespace)
    try journal.waiting(.registerContainer) { permit throws(CNIError) in
      try manager.tell(.add, call.request, permit)
    }
    return manager
  }

  private func createLinks(
    _ links: inout PodLinks, _ call: AddCall<Step>, _ cni: ContrailCni, _ journal: Journal<Step>
  ) throws(CNIError) {
    let (names, deadline) = (links.displaced, call.request.deadline)
    if !names.isEmpty {
      let kind = cni.usesVLANs ? "vlan" : "veth"
      try journal.perform(.takeOver) { permit throws(CNIError) in
        for name in names {
          try call.host.removeLink(name, permit, deadline) { link, _ in link.kind == kind }
        }
      }
    }
    if cni.usesVLANs {
      try journal.perform(.createVLANs) { permit throws(CNIError) in
        try links.createVLANs(permit)
      }
      try journal.perform(.createMacvlans) { permit throws(CNIError) in
        try links.createMacvlans(permit)
      }
    } else {
      try journal.perform(.createLinks) { permit throws(CNIError) in
        try links.createPairs(permit)
      }
    }
    try journal.perform(.markLinks) { permit throws(CNIError) in try links.mark(permit) }
  }

  /// Tells the agent of the ports and hears their addresses.
  ///
  /// Files first: an agent that starts meanwhile reads them. VLANs it knows without being told.
  private func announce(
    _ ports: [PodPort], _ vrouter: VRouter, usesVLANs: Bool, pod: String, _ limit: Deadline,
    _ journal: Journal<Step>
  ) throws(CNIError) -> [VRouterUUID: VRouter.Result] {
    try journal.perform(.writePorts) { permit throws(CNIError) in
      try mapped(pod) { () throws(VRouterError) in
        for port in ports {
          try vrouter.add(port.port, updateAgent: false, permit, deadline: limit)
        }
      }
    }
    if !usesVLANs {
      try journal.waiting(.announcePorts) { permit throws(CNIError) in
        try mapped(pod) { () throws(VRouterError) in
          for port in ports { try vrouter.announce(port.port, permit, deadline: limit) }
        }
      }
    }
    guard let uuid = ports.first?.port.uuid else { return [:] }
    return try journal.waiting(.awaitPorts) { _ throws(CNIError) in
      try mapped(pod) { () throws(VRouterError) in
        try vrouter.pollVM(uuid, interfaces: ports.map(\.interface), deadline: limit)
      }
    }
  }

  // MARK: Earlier lives

  /// How long the agent may take for what it has still to forget.
  private static let owedMilliseconds = 2000

  /// Has the agent forget earlier sandboxes first whose DELs it has not heard: it would take the
  /// new links for theirs.
  ///
  /// - Throws: code 102 if it does not.
  private func forgetOwed(
    _ owed: [AttachmentRecord], _ call: AddCall<Step>, _ files: [PortFile], _ vrouter: VRouter,
    _ journal: Journal<Step>
  ) throws(CNIError) {
    if owed.isEmpty { return }
    let limit = call.request.deadline.capped(milliseconds: Self.owedMilliseconds)
    try journal.waiting(.collectStale) { permit throws(CNIError) in
      for record in owed {
        let container = record.key.containerID
        // The agent forgets all of a pod; another interface of it may live again.
        guard let uuid = record.first(PodPort.self)?.port.uuid,
          !files.contains(where: { $0.uuid == uuid && $0.containerID != container })
        else { continue }
        do throws(VRouterError) {
          try vrouter.withdraw(uuid, containerID: container, permit, deadline: limit)
        } catch {
          switch error.reason {
          // It remembers nothing, or has heard it.
          case .unreachable(_, refused: true): continue
          case .refused(let status, _) where status < 500: continue
          default: break
          }
          throw CNIError(
            .vRouterAgent,
            "pod \(call.request.title): the vRouter agent has not yet forgotten sandbox \(container)",
            details: "\(error)")
        }
      }
    }
  }

  /// Removes files of the pod's earlier lives whose links have gone, and has the
  /// agent forget those.
  ///
  /// It never fails an ADD: what stays is found again.
  private func collectStale(
    _ call: AddCall<Step>, _ ports: [PodPort], _ objects: [VRouter.Result], _ files: [PortFile],
    _ vrouter: VRouter, _ journal: Journal<Step>
  ) throws(CNIError) {
    let request = call.request
    let current = ports.first?.port
    let stale = files.filter { file in
      file.containerID != request.sandboxID && !objects.contains { $0.id == file.interface }
    }
    guard let current, !stale.isEmpty else { return }
    try journal.waiting(.collectStale) { permit throws(CNIError) in
      for file in stale where try isWithoutLink(file, request.deadline) {
        let old = file.uuid.flatMap { $0 == current.uuid ? nil : $0 }
        do throws(VRouterError) {
          if let old {
            try vrouter.withdraw(
              old, containerID: file.containerID, permit, deadline: request.deadline)
          }
          try vrouter.files.remove(name: current.name, interfaces: [file.interface], permit)
        } catch {
          // An agent that does not answer once would keep the ADD for each of them.
          return call.host.log(
            .warning, "pod \(request.title): an old port stays: \(error)")
        }
      }
    }
  }

  /// Whether the link that a file names has gone, so that nothing of it can work.
  func isWithoutLink(_ file: PortFile, _ deadline: Deadline) throws(CNIError) -> Bool {
    guard let name = file.linkName else { return true }
    var node = try LinkAccess(deadline: deadline)
    return try node.link(named: name) == nil
  }
}

extension PortFile {
  /// The node's link that the file names; nil if the name is not valid.
  var linkName: String? {
    let isTap = LinkNames.isTap(hostLink)
    let name = isTap ? hostLink : uuid.map { LinkNames.vlan(ifName, $0) } ?? ""
    return (try? CNIValidation.interfaceName(name)) == nil ? nil : name
  }
}
