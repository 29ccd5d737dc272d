import CNI
import Linux
import Netlink
import OVSDB
import PluginKit

/// What an ADD waits for after its transaction: the database tells of every change, nothing is
/// asked for twice.
extension Switch.PlannedPort {
  /// Waits until ovs-vswitchd has taken the port with this link, and not an old one of its name.
  ///
  /// - Throws: code 101 with its own words if it could not.
  func await(_ added: Switch.AddedPort, _ link: Link) throws(CNIError) {
    let limit = request.deadline.capped(milliseconds: configuration.portMilliseconds)
    do throws(CNIError) {
      try wait(for: "ovs-vswitchd to take port \(name)", limit) { replica throws(CNIError) in
        guard let interface = replica.interface(added.interface) else { throw taken }
        if !interface.error.isEmpty {
          throw CNIError(
            .openVSwitch, "Open vSwitch cannot use port \(name)", details: interface.error)
        }
        let current = replica.root?["cur_cfg"]?.integer ?? 0
        return interface.number > 0 && current >= added.configuration && interface.isBehind(link)
      }
    } catch {
      guard error.code == .deadline, !request.deadline.isOver else { throw error }
      throw CNIError(
        .openVSwitch,
        "ovs-vswitchd has not taken port \(name) in \(configuration.portMilliseconds / 1000) s "
          + "(portTimeout): is it running?",
        details: error.message)
    }
  }

  /// Waits until ovs-vswitchd sees the link up.
  ///
  /// - Throws: code 101 if it does not in its time.
  func awaitLink(_ added: Switch.AddedPort) throws(CNIError) {
    let (deadline, milliseconds) = (request.deadline, configuration.linkStateMilliseconds)
    let limit = milliseconds.map { deadline.capped(milliseconds: $0) } ?? deadline
    do throws(CNIError) {
      try wait(for: "the link of port \(name) to be up", limit) { replica throws(CNIError) in
        guard let interface = replica.interface(added.interface) else { throw taken }
        return interface.isUp
      }
    } catch {
      guard error.code == .deadline, !deadline.isOver else { throw error }
      throw CNIError(
        .openVSwitch,
        "The OF port \(name) state is not up, try increasing number of retries/interval config parameter",
        details: "link_state of the interface is not up after \(milliseconds ?? 0) ms")
    }
  }

  /// Waits until OVN has installed the port's flows.
  ///
  /// - Throws: code 101 if the port was taken over meanwhile; 105 when the wait is over.
  func awaitFlows(_ added: Switch.AddedPort) throws(CNIError) {
    do throws(CNIError) {
      try wait(for: "the flows of port \(name)", request.deadline) { replica throws(CNIError) in
        guard let interface = replica.interface(added.interface),
          interface.externalIDs["iface-id"] == interfaceID
        else { throw taken }
        return interface.externalIDs["ovn-installed"] == "true"
      }
    } catch {
      guard error.code == .deadline else { throw error }
      throw CNIError(
        .deadline, "timed out waiting for OVS port binding",
        details:
          "OVN has not installed the flows of port \(name), iface-id \(interfaceID ?? ""): is "
          + "ovn-controller running, and is there a logical switch port of that name?")
    }
  }

  private var taken: CNIError {
    CNIError(
      .openVSwitch,
      "port \(name) is no longer active (probably due to a subsequent CNI ADD or a removed bridge)")
  }

  private func wait(
    for what: String, _ deadline: Deadline,
    _ condition: (OVSDBReplica) throws(CNIError) -> Bool
  ) throws(CNIError) {
    let outcome = try mapped { () throws(OVSDBError) in
      try owner.client.wait(for: what, deadline: deadline) {
        (replica) -> Result<Void, CNIError>? in
        do throws(CNIError) {
          return try condition(replica) ? .success(()) : nil
        } catch {
          return .failure(error)
        }
      }
    }
    try outcome.get()
  }
}
