import CNI
import JSON
import Linux
import Netlink
import PluginKit

/// Sets the MTU of a pod's link: `{"type": "mtu", "mtu": 1400}`, chained behind the plugin that makes the link.
final class MTUPlugin: NetworkPlugin {
  enum Step: String, PluginStep {
    case set
    case restore
  }

  let name = "example.org/mtu"
  let aliases = ["mtu"]

  func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let wanted = try mtu(in: request.configuration)
    guard let result = try request.configuration.prevResult() else {
      throw CNIError(.invalidConfiguration, "mtu needs a plugin before it: prevResult is missing")
    }
    var socket = try open(request.netns)
    let link = try link(request, &socket)
    let cookie = try mapped { () throws(NetlinkError) in try socket.namespaceCookie() }

    // Until here everything only looked. What follows is undone by `delete`, whatever happens.
    let before = PlannedResource(
      "mtu",
      [
        ("link", .number(JSONNumber(UInt64(link.index)))),
        ("before", .number(JSONNumber(UInt64(link.mtu)))),
      ])
    let journal = try call.record(plan: [before], namespace: NamespaceIdentity(cookie: cookie))
    try journal.perform(.set) { permit throws(CNIError) in
      try change(link.index, to: wanted, &socket, permit, request.deadline)
    }
    return result
  }

  func delete(_ call: PluginCall<Step>) throws(CNIError) {
    guard let planned = call.record?.planned("mtu").first?.values,
      let index = planned["link"]?.uint64.flatMap({ UInt32(exactly: $0) }),
      let before = planned["before"]?.uint64.flatMap({ UInt32(exactly: $0) }),
      // With its namespace the link is gone; behind the same path there may be another pod's by now.
      var socket = try? open(call.request.netns),
      (try? socket.namespaceCookie()) == call.record?.namespace?.cookie
    else { return }
    try call.journal.perform(.restore) { permit throws(CNIError) in
      try change(index, to: before, &socket, permit, call.request.deadline)
    }
  }

  func check(_ call: PluginCall<Step>) throws(CNIError) {
    let wanted = try mtu(in: call.request.configuration)
    var socket = try open(call.request.netns)
    let found = try link(call.request, &socket).mtu
    guard found == wanted else {
      throw CNIError(.kernel, "\(call.request.ifName) has MTU \(found), expected \(wanted)")
    }
  }

  private func mtu(in configuration: NetworkConfiguration) throws(CNIError) -> UInt32 {
    guard let mtu = configuration.object["mtu"]?.uint64, 68...65_535 ~= mtu else {
      throw CNIError(.invalidConfiguration, "mtu: must be a whole number from 68 to 65535")
    }
    return UInt32(mtu)
  }

  private func open(_ netns: String) throws(CNIError) -> NetlinkSocket {
    let failure = "cannot open network namespace \(netns)"
    let namespace = try mapped(.ioFailure, failure) { () throws(SystemError) in
      try NetworkNamespace(path: netns)
    }
    return try mapped(failure) { () throws(NetlinkError) in try NetlinkSocket(in: namespace) }
  }

  private func link(
    _ request: PodRequest, _ socket: inout NetlinkSocket
  ) throws(CNIError) -> Link {
    let link = try mapped { () throws(NetlinkError) in
      try socket.link(named: request.ifName, deadline: request.deadline)
    }
    if let link { return link }
    throw CNIError(.kernel, "there is no link \(request.ifName) in \(request.netns)")
  }

  private func change(
    _ index: UInt32, to mtu: UInt32, _ socket: inout NetlinkSocket, _ permit: borrowing Permit,
    _ deadline: Deadline
  ) throws(CNIError) {
    var settings = LinkSettings()
    settings.mtu = mtu
    let change = NetlinkChange.changeLink(index: index, settings).tolerating(.noDevice)
    try mapped("cannot set MTU \(mtu)") { () throws(NetlinkError) in
      try socket.apply([change], permit, deadline: deadline)
    }
  }
}
