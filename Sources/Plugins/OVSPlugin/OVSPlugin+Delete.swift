import Addresses
package import CNI
import IPAM
import JSON
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Removes port and links, if they are the attachment's, and gives its addresses back.
  ///
  /// The pod's namespace is never entered. Where the database cannot be reached the link goes all the same, and with a
  /// record the rest is done when it is back. Also the undo of a failed ADD, from whatever state that left.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let request = try completed(call)
    let isLeased = call.record.map { !$0.planned("lease").isEmpty } ?? true
    let addresses = isLeased ? try addressManagement(for: request.withFixedAddresses()) : nil
    var failures: [CNIError] = []
    if let addresses, !addresses.isInProcess {
      attempt(&failures) { () throws(CNIError) in
        try call.journal.perform(.runIPAMDelete) { permit throws(CNIError) in
          try addresses.delete(permit)
        }
      }
    }
    var links: [String] = []
    let missing = try removePort(call, request, &links, &failures)
    try call.journal.perform(.deleteLink) { permit throws(CNIError) in
      try removeLinks(call, request, links, permit)
    }
    if let addresses, addresses.isInProcess {
      try call.journal.perform(.releaseLease) { permit throws(CNIError) in
        try addresses.delete(permit)
      }
    }
    if let first = failures.first { throw first }
    guard let missing else { return }
    guard call.record != nil else { throw missing }
    call.postpone("\(missing)")
  }

  private func attempt(_ failures: inout [CNIError], _ body: () throws(CNIError) -> Void) {
    do throws(CNIError) {
      try body()
    } catch {
      // The link must go all the same.
      failures.append(error)
    }
  }

  /// The request with the defaults that its ADD found.
  func completed(_ call: PluginCall<Step>) throws(CNIError) -> PodRequest {
    var request = call.request
    let defaults: JSONObject
    if let record = call.record {
      defaults = record.planned("defaults").first?.values ?? JSONObject()
    } else {
      defaults = (try? ConfigurationFile.defaults(for: request.configuration)) ?? JSONObject()
    }
    request.configuration = try request.configuration.completed(with: defaults)
    return request
  }

  // MARK: The port

  /// How long the database may take before the links go without it.
  private static let databaseMilliseconds = 5000

  /// Takes the attachment's ports out of the database.
  ///
  /// - Parameters:
  ///   - call: the call.
  ///   - request: its request, completed.
  ///   - links: gets the names of links behind ports that were not made here.
  ///   - failures: gets a refusal.
  /// - Returns: what is missing for it; nil if it is done.
  /// - Throws: only when the time is over.
  private func removePort(
    _ call: PluginCall<Step>, _ request: PodRequest, _ links: inout [String],
    _ failures: inout [CNIError]
  ) throws(CNIError) -> CNIError? {
    let planned = call.record?.planned("port").first?.string("database")
    let database =
      planned ?? request.configuration.object["socket_file"]?.string
      ?? OVSConfiguration.defaultDatabase
    let owner: Switch
    do throws(CNIError) {
      owner = try openSwitch(database.isEmpty ? OVSConfiguration.defaultDatabase : database)
    } catch {
      // With such an address no ADD can have worked.
      return error.code == .invalidConfiguration ? nil : error
    }
    var absence: CNIError?
    do throws(CNIError) {
      try call.journal.perform(.removePort) { permit throws(CNIError) in
        var bounded = request
        bounded.deadline = request.deadline.capped(milliseconds: Self.databaseMilliseconds)
        do throws(OVSDBError) {
          links += try owner.removePorts(of: bounded, hasRecord: call.record != nil, permit)
        } catch {
          guard error.isAbsence else { throw CNIError(error) }
          absence = CNIError(error)
        }
      }
    } catch {
      // Given up, or the call's own time is over.
      if error.code == .deadline { throw error }
      failures.append(error)
    }
    return absence
  }

  // MARK: The links

  /// Removes the pair by its end on the node, and further links behind ports that ovs-cni or OVN-Kubernetes had made.
  private func removeLinks(
    _ call: PluginCall<Step>, _ request: PodRequest, _ others: [String],
    _ permit: borrowing Permit
  ) throws(CNIError) {
    let owner = HostLinkOwner(request, call.record)
    let own = request.hostLinkName
    try removeLink(own, request.deadline, permit, where: owner.owns)
    for name in others where name != own {
      try removeLink(name, request.deadline, permit) { link, _ in
        link.kind == "veth" && !OwnerMark.isMark(link.alias)
      }
    }
  }

  func removeLink(
    _ name: String, _ deadline: Deadline, _ permit: borrowing Permit,
    where condition: @escaping LinkRemover.Condition
  ) throws(CNIError) {
    let remover = try requireHost().linkRemover
    let node = try mapped { () throws(SystemError) in try NetworkNamespace.current() }
    do throws(NetlinkError) {
      _ = try remover.remove(
        linkNamed: name, in: node, permit, deadline: deadline, where: condition)
    } catch {
      throw CNIError(error, doing: "failed to delete \(goQuoted(name))")
    }
  }
}

/// What tells the pair's end on the node from another link of that name.
private struct HostLinkOwner: Sendable {
  private let mark: OwnerMark
  private let planned: [String]

  init(_ request: PodRequest, _ record: AttachmentRecord?) {
    mark = request.mark
    planned = record?.planned("link").compactMap { $0.string("mac") } ?? []
  }

  /// It carries the mark; or none yet, and the address that the plan names.
  @Sendable func owns(_ link: Link, _: UInt64) -> Bool {
    if mark.matches(alias: link.alias) { return true }
    guard link.kind == "veth", !OwnerMark.isMark(link.alias), let mac = link.mac else {
      return false
    }
    return planned.contains(mac.description)
  }
}

extension Switch {
  /// Takes the ports of an attachment out of the database, with their queues.
  ///
  /// - Returns: the names of the ports that had been made by others, whose links are to go too.
  func removePorts(
    of request: PodRequest, hasRecord: Bool, _ permit: borrowing Permit
  ) throws(OVSDBError) -> [String] {
    let deadline = request.deadline
    let others = hasRecord ? [] : try portsFromBefore(of: request, deadline)
    let broken = hasRecord || !others.isEmpty ? [] : try brokenPorts(request, deadline)
    while true {
      let own = try ports(deadline) { PortOwner.owns(request, $0) }
      let question = OVSDBOperation.select(
        from: "Port",
        where: [
          OVSDBCondition("external_ids", .includes, .strings(PortOwner.identity(request)))
        ], columns: ["_uuid"])
      let results = try change(
        [question] + (own + others + broken).flatMap { Switch.removal(of: $0) } + [
          Switch.queueRemoval(of: request),
          .comment("cnid: remove \(request.sandboxID)/\(request.ifName)"),
        ], permit, deadline)
      // The copy may have been older than an ADD that was given up when its transaction had been sent.
      let seen = results.first?.rows.compactMap { $0["_uuid"]?.uuid } ?? []
      if seen.allSatisfy({ uuid in own.contains { $0.uuid == uuid } }) { break }
    }
    return others.map(\.name)
  }

  /// Ports that ovs-cni or OVN-Kubernetes had made for the attachment.
  private func portsFromBefore(
    of request: PodRequest, _ deadline: Deadline
  ) throws(OVSDBError) -> [Port] {
    try ports(deadline) { port in
      PortOwner.ownedBefore(request, port) || PortOwner.ownedByOVNKubernetes(request, port)
    }
  }

  /// Ports of ovs-cni that do not work, where there is no path by which they could be told apart; their links stay, as what is
  /// wrong may pass.
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
