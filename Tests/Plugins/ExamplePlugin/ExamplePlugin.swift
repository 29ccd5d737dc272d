import Addresses
package import CNI
import Netlink
package import PluginKit
import Workbench

/// Joins a pod to its node with a cable: `{"type": "cable", "ipam": {"type": "host-local", …}}`.
package final class CablePlugin: NetworkPlugin {
  package enum Step: String, AddressingStep {
    case takeLease, createLink, runIPAM, configureLink, awaitAddresses, addRoutes
    case runIPAMDelete, deleteLink, releaseLease, collectLeases
  }

  package let name = "cable"
  package init() {}

  package func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let (request, addresses) = (call.request, Addressing<Step>(call.request, call.host))
    let previous = try request.configuration.prevResult()
    var session = try PodSession.attaching(request)
    let (mac, end) = (try MACAddress.random(), try MACAddress.random())
    try addresses.prepare()
    // Until here everything only looked. What follows is undone by `delete`, whatever happens.
    let journal = try call.record(
      plan: [PlannedLink(request.ifName, mac).planned] + addresses.plan,
      namespace: try session.identity())
    let (leased, link) = try addresses.take(journal) { _ throws(CNIError) in
      try journal.perform(.createLink) { permit throws(CNIError) in
        let far = NewLink.Peer(name: request.ifName, mac: mac, namespace: session.podDescriptor)
        let near = NewLink(
          name: "c" + end.bytes.map { String($0, radix: 16) }.joined(), kind: .veth(peer: far),
          mac: end, isUp: true)
        try session.create(near, as: request.ifName, doing: "cannot lay the cable", permit)
        return try session.pod.made(request.ifName)
      }
    }
    let setup = LinkSetup(link, session.marked, leased)
    try session.configure([setup], .configureLink, .awaitAddresses, .addRoutes, journal)
    return request.result([request.interface(mac)], leased, after: previous)
  }

  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let ownership = LinkOwnership(of: call, kind: "veth", unrecorded: .others)
    try Addressing(call.request, call.host).giveBack(call.journal) { () throws(CNIError) in
      try call.journal.perform(.deleteLink) { permit throws(CNIError) in
        try call.removePodLink(ownedBy: ownership, permit)
      }
    }
  }

  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    try Addressing<Step>(call.request, call.host).check(call)
    let expected = try ExpectedLink(call.request.requiredResult(), call.request)
    var session = try PodSession(call.request)
    let link = try expected.checkLink(&session.pod, kind: "veth")
    try expected.checkAddresses(&session.pod, link, call)
  }

  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    try Addressing(call.request, call.host).collect(call, valid: valid)
  }
}
