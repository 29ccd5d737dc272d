import Addresses
package import CNI
import Linux
import Netlink
package import PluginKit
import Workbench
import VRouterAgent

extension VRouterPlugin {
  /// Removes links and port files, if they are the attachment's, and has the agent forget the pod
  /// with its last interface.
  ///
  /// The pod's namespace is never entered. An agent that is not there remembers nothing, so it
  /// needs no withdrawal. If the agent does not answer, the daemon repeats the withdrawal later,
  /// unless the pod has been created again by then. Also the undo of a failed ADD, from whatever
  /// state that left.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let attached = try attachment(of: call)
    try call.whileAlone(Self.lock(named: attached.name)) { () throws(CNIError) in
      try remove(attached, call)
    }
  }

  private func remove(_ attached: PodAttachment, _ call: PluginCall<Step>) throws(CNIError) {
    let files = try attached.files(call.request.title)
    let removal = PodRemoval(attached, call, files, try linksOfNode(call, files))
    try call.journal.perform(.deleteLinks) { permit throws(CNIError) in
      for link in removal.links {
        try call.host.removeLink(link.name, permit, call.request.deadline, where: link.owns)
      }
    }
    // Without a record the file is all that tells of a port which the agent still has to forget.
    if call.record != nil { try removeFiles(removal, call) }
    let missing = try withdraw(removal, call)
    // An agent that was late with the announcement has written the file again, before it
    // forgot the port.
    if missing == nil, call.record == nil || removal.withdrawn != nil {
      try removeFiles(removal, call)
    }
    let unheard = try unregister(attached.manager, call)
    settle(missing ?? unheard, call)
  }

  /// What the attachment consists of: by its record, else by the port files of its container.
  func attachment(of call: PluginCall<Step>) throws(CNIError) -> PodAttachment {
    let request = call.request
    let cni = try settings(for: request, .lenient, call.host)
    if let record = call.record { return PodAttachment(record, cni) }
    let isOne = MetaMode.isOn(request, cni) || MetaMode.isLikely(request, cni)
    return try mapped(request.title) { () throws(VRouterError) in
      try PodAttachment(of: request, cni, ownInterfaceOnly: isOne)
    }
  }

  /// The node's links, where only their marks may tell which are the attachment's.
  private func linksOfNode(
    _ call: PluginCall<Step>, _ files: [PortFile]
  ) throws(CNIError) -> [Link] {
    if call.record != nil, files.allSatisfy(\.isReadable) { return [] }
    var node = try LinkAccess(deadline: call.request.deadline)
    return try node.links()
  }

  private func removeFiles(_ removal: PodRemoval, _ call: PluginCall<Step>) throws(CNIError) {
    let attached = removal.attachment
    if attached.name.isEmpty || !removal.isKnown { return }
    try call.journal.perform(.removePorts) { permit throws(CNIError) in
      try mapped(call.request.title) { () throws(VRouterError) in
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
  /// - Returns: why it could not be told; nil if it was, or has nothing to forget.
  private func withdraw(
    _ removal: PodRemoval, _ call: PluginCall<Step>
  ) throws(CNIError) -> CNIError? {
    guard let uuid = removal.withdrawn else { return nil }
    return try call.journal.waiting(.withdrawPorts) { permit throws(CNIError) in
      try forget(
        uuid, call.request.sandboxID, removal.attachment.vrouter, pod: call.request.title, call,
        permit)
    }
  }

  /// Has an agent forget a pod; one that is not there has done so, and one that has just let us
  /// wait is not asked.
  ///
  /// - Returns: why it could not be told.
  func forget(
    _ uuid: VRouterUUID, _ containerID: String, _ vrouter: VRouter, pod: String,
    _ call: PluginCall<Step>, _ permit: borrowing Permit
  ) throws(CNIError) -> CNIError? {
    if isMute(vrouter) {
      return CNIError(.tryAgainLater, "pod \(pod): the vRouter agent has just not answered")
    }
    let deadline = call.request.deadline
    do throws(VRouterError) {
      try vrouter.withdraw(uuid, containerID: containerID, permit, deadline: deadline)
      note(isAnswering: true)
      return nil
    } catch {
      switch error.reason {
      case .unreachable(_, refused: true):
        note(isAnswering: false)
        return nil
      case .refused(let status, _) where status < 500:
        // The agent has heard it, and would give the same answer again.
        call.host.log(.warning, "the vRouter agent refuses to forget pod \(pod): \(error)")
        return nil
      case .unreachable, .refused, .notReady:
        if case .unreachable = error.reason, !deadline.isOver { noteMute(vrouter) }
        return CNIError(error, doing: pod)
      case .unknownPod, .cancelled, .invalidName, .file, .failed: throw CNIError(error, doing: pod)
      }
    }
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
        // The agent has heard it, and would give the same answer again.
        default:
          call.host.log(.warning, "DEL of container \(call.request.sandboxID): \(error)")
        }
      }
    }
    return missing
  }

  /// What somebody else still has to hear is told later; the pod itself is detached.
  private func settle(_ missing: CNIError?, _ call: PluginCall<Step>) {
    if let missing { call.postpone("\(missing)") }
  }
}
