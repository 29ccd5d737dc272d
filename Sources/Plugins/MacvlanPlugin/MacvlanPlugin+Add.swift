package import CNI
import Netlink
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Creates the link in the pod's namespace and gives it its addresses.
  ///
  /// Everything that can be wrong with the request is found before the plan is recorded. What fails
  /// afterwards is undone by `delete`.
  package func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let previous = try request.configuration.prevResult()
    let configuration = try MacvlanConfiguration(request.configuration, request.arguments)
    try configuration.checkQueue()
    let addresses = addressing(request, call.host)

    var node = try LinkAccess(deadline: request.deadline)
    // The order in which the reference finds faults: the MTU before the namespace.
    let outside = try configuration.parentOfNode(&node)
    var session = try PodSession.attaching(request, node)
    let parent = if let outside { outside } else { try configuration.parent(&session.pod) }
    let mac = try configuration.mac(on: parent)
    let wanted = try configuration.link(request.ifName, on: parent, mac, in: session.podDescriptor)
    try addresses.prepare()
    let journal = try call.record(
      plan: [PlannedLink(request.ifName, mac).planned] + addresses.plan,
      namespace: try session.identity())

    let (leased, link) = try addresses.take(journal) { _ throws(CNIError) in
      let link = try journal.perform(.createLink) { permit throws(CNIError) in
        try session.create(
          wanted, on: configuration.isParentInContainer ? .pod : .node, as: request.ifName,
          doing: "failed to create macvlan", hint: configuration.hint(on: parent), permit)
        return try session.pod.made(request.ifName)
      }
      if addresses.isAfterLink {
        try journal.perform(.markLink) { permit throws(CNIError) in
          try session.mark(link, on: .pod, permit)
        }
      }
      return link
    }
    var settings = session.marked
    // In passthru mode the kernel ignores the address in the message that makes the link.
    if link.mac != mac { settings.mac = mac }
    let setup = LinkSetup(
      link, settings, leased, skipsDAD: configuration.skipsDAD, parent: parent.name)
    try session.configure([setup], .configureLink, .awaitAddresses, .addRoutes, journal)
    return request.result([request.interface(mac)], leased, after: previous)
  }
}
