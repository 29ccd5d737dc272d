import Addresses
package import CNI
import Linux
import Netlink
package import PluginKit
import Workbench
import VRouterAgent

extension VRouterPlugin {
  /// Asks the agent again, and gives the pod's interfaces the addresses, MAC and MTU that
  /// they have by now.
  ///
  /// No interface is taken down, and what is the same is not touched. If one of them cannot be
  /// changed, all of it is put back. An interface whose virtual network is another one is announced
  /// anew. Interfaces neither come nor go.
  ///
  /// - Returns: the result as an ADD would give it now, without what other plugins of a
  ///   chain have made.
  package func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let cni = try settings(for: request, .strict, call.host)
    let attached = try attachment(of: call)
    guard call.record != nil, let uuid = attached.uuid, !attached.ports.isEmpty else {
      throw CNIError(
        .invalidEnvironment,
        "UPDATE of \(goQuoted(request.ifName)) needs an attachment of ADD")
    }
    return try call.whileAlone(Self.lock(named: attached.name)) { () throws(CNIError) in
      try update(attached, uuid, cni, call)
    }
  }

  private func update(
    _ attached: PodAttachment, _ uuid: VRouterUUID, _ cni: ContrailCni, _ call: PluginCall<Step>
  ) throws(CNIError) -> CNIResult {
    let request = call.request
    let limit = request.deadline.capped(milliseconds: cni.addMilliseconds)
    let answers = try call.waiting { () throws(CNIError) in
      try mapped(request.title) { () throws(VRouterError) in
        try attached.vrouter.pollVM(
          uuid, interfaces: attached.ports.map(\.interface), deadline: limit)
      }
    }
    var session = try PodSession(request)
    let changes = try LinkChanges(cni: cni, ports: attached.ports, answers: answers)
      .found(&session)
    try updatePorts(attached, answers, call, limit)
    try session.update(
      changes.map { (.updateLinks, $0) }, restore: .restoreLinks, call.journal)
    var links: [VRouterUUID: Link] = [:]
    for port in attached.ports {
      links[port.interface] = try session.node.link(named: port.link)
    }
    return cni.result(of: attached.ports, answers, links, request)
  }

  /// Announces interfaces again that are in another virtual network by now.
  private func updatePorts(
    _ attached: PodAttachment, _ answers: [VRouterUUID: VRouter.Result], _ call: PluginCall<Step>,
    _ limit: Deadline
  ) throws(CNIError) {
    let pod = call.request.title
    let files = try attached.files(pod)
    var moved: [PodPort] = []
    for port in attached.ports {
      let known = files.first { $0.interface == port.interface }?.network ?? port.port.network
      guard let network = answers[port.interface]?.vnID, network != known else { continue }
      var port = port
      port.port.network = network
      moved.append(port)
    }
    if moved.isEmpty { return }
    try call.journal.waiting(.updatePorts) { permit throws(CNIError) in
      try mapped(pod) { () throws(VRouterError) in
        for port in moved {
          try attached.vrouter.add(
            port.port, updateAgent: !port.usesVLAN, permit, deadline: limit)
        }
      }
    }
  }
}
