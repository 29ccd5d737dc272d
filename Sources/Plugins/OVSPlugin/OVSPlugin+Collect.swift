package import CNI
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Removes ports, links and leases of this network that belong to none of the valid attachments.
  ///
  /// Only ports with our own owner's mark and this network's name are looked at. A pair of which
  /// one end is there has its other end in a namespace that lives: such a port stays.
  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    let request = try completed(call)
    let deadline = request.deadline
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    let owner = try openSwitch(configuration.database, call.host)
    let network = request.configuration.name
    let (isStrict, containers) = (call.collectsLiving, Set(valid.map(\.containerID)))
    let attachments = Set(valid)
    var garbage = try call.waiting { () throws(CNIError) in
      try mapped { () throws(OVSDBError) in
        try owner.ports(deadline) { port in
          let marks = port.externalIDs
          guard marks["owner"] == PortOwner.name, marks["network"] == network else { return false }
          let (sandbox, ifName) = (marks["sandbox"] ?? "", marks["contIface"] ?? "")
          if !isStrict { return !containers.contains(sandbox) }
          return !attachments.contains(
            NetworkConfiguration.Attachment(containerID: sandbox, ifName: ifName))
        }
      }
    }
    if !isStrict { garbage = try withoutLiving(garbage, call) }
    if !garbage.isEmpty {
      // The port leads to the link, so it goes last.
      try call.journal.perform(.collectLinks) { permit throws(CNIError) in
        for port in garbage {
          let mark = PortOwner.mark(port)
          try call.host.removeLink(port.name, permit, deadline) { link, _ in
            mark.matches(alias: link.alias)
          }
        }
      }
      try call.journal.waiting(.collectPorts) { permit throws(CNIError) in
        _ = try mapped { () throws(OVSDBError) in
          try owner.change(garbage.flatMap { Switch.removal(of: $0) }, permit, deadline)
        }
      }
    }
    if configuration.addresses == .ipam {
      try addressing(request, call.host).collect(call, valid: valid)
    }
  }

  private func withoutLiving(
    _ ports: [Switch.Port], _ call: PluginCall<Step>
  ) throws(CNIError) -> [Switch.Port] {
    var node = try LinkAccess(deadline: call.request.deadline)
    var dead: [Switch.Port] = []
    for port in ports {
      let link = try node.link(named: port.name)
      if let link, PortOwner.mark(port).matches(alias: link.alias) {
        call.spare("port \(port.name) of container \(port.externalIDs["sandbox"] ?? "")")
      } else {
        dead.append(port)
      }
    }
    return dead
  }
}
