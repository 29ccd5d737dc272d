package import CNI
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Removes ports, links and leases of this network that belong to none of the valid attachments.
  ///
  /// Only ports with our own owner's mark and this network's name are looked at.
  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    let request = try completed(call)
    let deadline = request.deadline
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    let owner = try openSwitch(configuration.database, call.host)
    let network = request.configuration.name
    let garbage = try call.waiting { () throws(CNIError) in
      try mapped { () throws(OVSDBError) in
        try owner.ports(deadline) { port in
          let marks = port.externalIDs
          guard marks["owner"] == PortOwner.name, marks["network"] == network else { return false }
          return !valid.contains {
            $0.containerID == marks["sandbox"] && $0.ifName == marks["contIface"]
          }
        }
      }
    }
    if !garbage.isEmpty {
      // The port leads to the link, so it goes last.
      try call.journal.perform(.collectLinks) { permit throws(CNIError) in
        for port in garbage {
          let mark = OwnerMark(
            containerID: port.externalIDs["sandbox"] ?? "",
            ifName: port.externalIDs["contIface"] ?? "")
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
      try addressing(request, call.host).collect(call.journal, valid: valid)
    }
  }
}
