import Addresses
package import CNI
import JSON
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Removes port and links, if they are the attachment's, and gives its addresses back.
  ///
  /// The pod's namespace is never entered. Where the database cannot be reached the link goes all
  /// the same, and the rest is done when it is back. Also the undo of a failed ADD,
  /// from whatever state that left.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let request = try completed(call)
    let addresses =
      call.mayHaveLease
      ? addressing(try request.withFixedAddresses(), call.host) : Addressing()
    var removal = PortRemoval()
    try addresses.giveBack(call.journal) { () throws(CNIError) in
      removal = try removePort(call, request)
      try call.journal.perform(.deleteLink) { permit throws(CNIError) in
        try removeLinks(call, request, removal.links, permit)
      }
    }
    if let refusal = removal.refusal { throw refusal }
    if let absence = removal.absence { call.postpone("\(absence)") }
  }

  /// The request with the defaults that its ADD found.
  func completed(_ call: PluginCall<Step>) throws(CNIError) -> PodRequest {
    var request = call.request
    // A DEL asks no such database, and goes on.
    if request.command != .delete { try checkDatabase(request, call.host) }
    let defaults: JSONObject
    if let record = call.record {
      defaults = record.first(PlannedDefaults.self)?.members ?? JSONObject()
    } else {
      defaults =
        (try? ConfigurationFile.defaults(for: request.configuration, call.host.paths))
        ?? JSONObject()
    }
    do throws(CNIError) {
      request.configuration = try request.configuration.completed(with: defaults)
    } catch {
      // A file that spoils the network has spoilt its ADD.
      guard request.command == .delete, call.record == nil else { throw error }
    }
    return request
  }

  // MARK: The port

  /// How long the database may take before the links go without it.
  private static let databaseMilliseconds = 5000

  /// What has come of the port; none of it keeps the links from going.
  private struct PortRemoval {
    /// The names of links behind ports that were not made here.
    var links: [String] = []
    /// Why the database cannot be asked, which may pass.
    var absence: CNIError?
    /// What it refused.
    var refusal: CNIError?
  }

  /// Takes the attachment's ports out of the database.
  ///
  /// - Throws: only when the time is over.
  private func removePort(
    _ call: PluginCall<Step>, _ request: PodRequest
  ) throws(CNIError) -> PortRemoval {
    var removal = PortRemoval()
    let planned = call.record?.first(PlannedPort.self)?.database
    let given = request.configuration.object.value(inAnyCase: "socket_file")?.string
    let database = planned ?? given ?? ""
    let owner: Switch
    do throws(CNIError) {
      if call.record == nil { try checkDatabase(call.request, call.host) }
      owner = try openSwitch(
        database.isEmpty ? OVSConfiguration.defaultDatabase : database, call.host)
    } catch {
      // With such an address no ADD can have worked.
      if error.code != .invalidConfiguration { removal.absence = error }
      return removal
    }
    do throws(CNIError) {
      try call.journal.waiting(.removePort) { permit throws(CNIError) in
        var bounded = request
        bounded.deadline = request.deadline.capped(milliseconds: Self.databaseMilliseconds)
        do throws(OVSDBError) {
          removal.links = try owner.removePorts(
            of: bounded, hasRecord: call.record != nil, permit)
        } catch {
          guard error.isAbsence else { throw CNIError(error) }
          removal.absence = CNIError(error)
        }
      }
    } catch {
      // Given up, or the call's own time is over.
      if error.code == .deadline { throw error }
      removal.refusal = error
    }
    return removal
  }

  // MARK: The links

  /// Removes the pair by its end on the node, and further links behind ports that ovs-cni or
  /// OVN-Kubernetes had made.
  private func removeLinks(
    _ call: PluginCall<Step>, _ request: PodRequest, _ others: [String],
    _ permit: borrowing Permit
  ) throws(CNIError) {
    let (host, deadline) = (call.host, request.deadline)
    let references = LinkOwnership(
      mark: request.mark, kind: Self.kind, plan: nil, unrecorded: .reference)
    if let record = call.record {
      let plan = LinkOwnership.Plan(record.planned(PlannedLink.self).map(\.mac))
      let own = LinkOwnership(mark: request.mark, kind: Self.kind, plan: plan, unrecorded: .others)
      for name in record.planned(PlannedPort.self).map(\.name) {
        try host.removeLink(name, permit, deadline, where: own.owns)
      }
    } else {
      var node = try LinkAccess(deadline: deadline)
      for link in try node.links() where Self.isUnrecorded(link, request) {
        try host.removeLink(link.name, permit, deadline) { link, _ in
          Self.isUnrecorded(link, request)
        }
      }
    }
    for name in others {
      try host.removeLink(name, permit, deadline, where: references.owns)
    }
  }

  /// Whether a link of the node is the attachment's, of which no record tells: by its mark, or by
  /// its name where it has none yet.
  private static func isUnrecorded(_ link: Link, _ request: PodRequest) -> Bool {
    if request.mark.matches(alias: link.alias) { return true }
    return link.kind == kind && link.alias.isEmpty
      && link.name.utf8.starts(with: request.hostLinkPrefix.utf8)
  }
}

extension Switch {
  /// Takes the ports of an attachment out of the database, with their queues.
  ///
  /// - Returns: the names of the ports that had been created by others, whose links are to go too.
  func removePorts(
    of request: PodRequest, hasRecord: Bool, _ permit: borrowing Permit
  ) throws(OVSDBError) -> [String] {
    let deadline = request.deadline
    let others = hasRecord ? [] : try ports(deadline) { PortOwner.ownedBefore(request, $0) }
    let broken = hasRecord || !others.isEmpty ? [] : try brokenPorts(request, deadline)
    while true {
      let own = try ports(deadline) { PortOwner.owns(request, $0) }
      let question = OVSDBOperation.select(
        from: "Port", where: [PortOwner.condition(request)], columns: ["_uuid"])
      let results = try change(
        [question] + (own + others + broken).flatMap { Switch.removal(of: $0) } + [
          Switch.queueRemoval(of: request),
          .comment("cnid: remove \(request.sandboxID)/\(request.ifName)"),
        ], permit, deadline)
      // The copy may be older than the transaction of an ADD that was abandoned after sending it.
      let seen = results.first?.rows.compactMap { $0["_uuid"]?.uuid } ?? []
      if seen.allSatisfy({ uuid in own.contains { $0.uuid == uuid } }) { break }
    }
    return others.map(\.name)
  }

  /// Ports of ovs-cni that do not work, where there is no path by which they could be told apart;
  /// their links stay, as what is wrong may pass.
  private func brokenPorts(
    _ request: PodRequest, _ deadline: Deadline
  ) throws(OVSDBError) -> [Port] {
    guard request.netns.isEmpty else { return [] }
    let found = try ports(deadline) { port in
      PortOwner.owns(request, port)
        || port.externalIDs["owner"] == PortOwner.reference
          && port.interface?.error.isEmpty == false
    }
    return found.contains { PortOwner.owns(request, $0) } ? [] : found
  }
}
