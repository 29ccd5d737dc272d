import Addresses
package import CNI
import Linux
import Netlink
package import PluginKit
import Workbench
import VRouterAgent

extension VRouterPlugin {
  /// How long a CHECK waits for an agent that does not answer.
  private static let checkMilliseconds = 5000

  /// Compares links, addresses, routes, port files and what the agent says with the result of ADD.
  ///
  /// An agent that cannot be asked now says nothing against them.
  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    let attached = try attachment(of: call)
    let result = try call.request.requiredResult()
    guard !attached.ports.isEmpty else {
      throw CNIError(
        .invalidEnvironment, "no attachment of container \(call.request.sandboxID) is known")
    }
    var session = try PodSession(call.request)
    try checkPod(call, attached, result, &session.pod)
    for port in attached.ports {
      try checkNode(call, port, &session.node)
      try checkFile(call, attached, port)
      try checkAgent(call, attached, port, result)
    }
  }

  private func checkPod(
    _ call: PluginCall<Step>, _ attached: PodAttachment, _ result: CNIResult,
    _ pod: inout LinkAccess
  ) throws(CNIError) {
    for port in attached.ports {
      var request = call.request
      request.ifName = port.port.ifName
      // The result has the primary interface's addresses and routes only.
      let expected = try ExpectedLink(result, request)
      let link = try expected.checkLink(&pod, kind: port.usesVLAN ? "macvlan" : "veth")
      if port.isPrimary { try expected.checkAddresses(&pod, link, call) }
    }
  }

  private func checkNode(
    _ call: PluginCall<Step>, _ port: PodPort, _ node: inout LinkAccess
  ) throws(CNIError) {
    guard let link = try node.link(named: port.link) else {
      throw CNIError(.kernel, "host interface \(goQuoted(port.link)) not found")
    }
    if !port.usesVLAN, OwnerMark.isMark(link.alias), !call.request.mark.matches(alias: link.alias) {
      throw CNIError(
        .kernel, "host interface \(goQuoted(port.link)) belongs to another attachment",
        details: link.alias)
    }
  }

  private func checkFile(
    _ call: PluginCall<Step>, _ attached: PodAttachment, _ port: PodPort
  ) throws(CNIError) {
    let file = try attached.files(call.request.title).first { $0.interface == port.interface }
    guard let file, file.isReadable, file.containerID == call.request.sandboxID else {
      throw CNIError(
        .vRouterAgent, "the port file of interface \(port.interface) is missing or another's",
        details: "after a restart the agent would not know the port")
    }
  }

  private func checkAgent(
    _ call: PluginCall<Step>, _ attached: PodAttachment, _ port: PodPort, _ result: CNIResult
  ) throws(CNIError) {
    let (uuid, interface) = (port.port.uuid, port.interface)
    let limit = call.request.deadline.capped(milliseconds: Self.checkMilliseconds)
    let answers = try call.waiting { () throws(CNIError) -> [VRouter.Result]? in
      do throws(VRouterError) {
        return try attached.vrouter.get("/vm/\(uuid)/\(interface)", deadline: limit)
      } catch {
        guard error.isAbsence else { throw CNIError(error, doing: call.request.title) }
        call.host.log(
          .warning, "CHECK of pod \(call.request.title) without its agent: \(error)")
        return nil
      }
    }
    note(isAnswering: answers != nil)
    guard let answers else { return }
    guard let answer = answers.first(where: { $0.id == interface }) else {
      throw CNIError(.vRouterAgent, "the vRouter agent does not know interface \(interface)")
    }
    guard port.isPrimary else { return }
    for given in [answer.ipv4, answer.ipv6] {
      guard let given else { continue }
      guard result.ips.contains(where: { $0.address.address == given.address }) else {
        throw CNIError(
          .vRouterAgent,
          "the vRouter agent has address \(given.address) for interface \(interface), the pod not",
          details: "UPDATE brings it in line")
      }
    }
  }

  /// Whether an ADD could work: the agent answers, and the parent of VLANs is there.
  ///
  /// - Throws: code 50 if not.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    let deadline = call.request.deadline
    let cni = try settings(for: call.request, .strict, call.host)
    try call.waiting { () throws(CNIError) in
      do throws(VRouterError) {
        try cni.vrouter.isAnswering(deadline: deadline)
        note(isAnswering: true)
      } catch {
        note(isAnswering: false)
        throw CNIError(
          .notAvailable, "the vRouter agent does not answer", details: error.description)
      }
    }
    guard cni.usesVLANs else { return }
    var node = try LinkAccess(deadline: deadline)
    let name = cni.parentInterface
    if try node.link(named: name) == nil {
      throw CNIError(
        .notAvailable,
        "failed to lookup parent-interface \(goQuoted(name)): \(try node.notFound(name))")
    }
  }
}
