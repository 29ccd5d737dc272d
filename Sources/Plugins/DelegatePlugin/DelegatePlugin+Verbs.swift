package import CNI
import JSON
import Libcni
import Linux
package import PluginKit

extension DelegatePlugin {
  /// Checks the primary network, and of the others what plugins of this daemon have attached, each
  /// with its recorded result.
  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    let work = try SetCall(call.request, call.host, try call.partsOfSet(), call.record)
    for member in work.set.members where work.isPlanned(member) {
      let isPrimary = member.index == 0
      // Versions before 0.4.0 know no CHECK.
      if !isPrimary, !member.list.isAtLeast(.v040) { continue }
      let previous = isPrimary ? try call.request.configuration.prevResult() : nil
      let result = call.record?.networkResult(member.index) ?? previous
      try member.list.check(
        result, work.offered, where: { work.isPlanned(member, $0) }
      ) { turn throws(CNIError) in
        if let part = try work.part(turn, of: member) { return try work.parts.check(part) }
        guard isPrimary else { return }
        try call.waiting { () throws(CNIError) in try work.ask(turn, of: member) }
      }
    }
  }

  /// Asks the primary network: without it no pod can be attached.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    let work = try SetCall(call.request, call.host, try call.partsOfSet())
    guard let primary = work.set.members.first else { return }
    try primary.list.status { turn throws(CNIError) in
      if let part = try work.part(turn, of: primary) { return try work.parts.status(part) }
      try call.waiting { () throws(CNIError) in try work.ask(turn, of: primary) }
    }
  }

  /// Has the plugins of every network collect.
  ///
  /// The runtime lists the pods' own interfaces only: every interface of a listed container stays,
  /// and so does whatever has a record.
  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    let work = try SetCall(call.request, call.host, try call.partsOfSet())
    let containers = Set(valid.map(\.containerID))
    var failures: [CNIError] = []
    for member in work.set.members {
      // The runtime's own list has the primary one, whatever its name.
      let ofListed =
        member.index == 0
        ? []
        : containers.map {
          NetworkConfiguration.Attachment(containerID: $0, ifName: member.ifName)
        }
      let kept = Set(valid + ofListed + work.parts.attached(to: member.list.name))
      do throws(CNIError) {
        try collect(
          member, work, kept.sorted { ($0.containerID, $0.ifName) < ($1.containerID, $1.ifName) },
          call)
      } catch {
        failures.append(error)
      }
    }
    if let error = CNIError(joining: failures) { throw error }
  }

  private func collect(
    _ member: DelegateSet.Member, _ work: SetCall, _ valid: [NetworkConfiguration.Attachment],
    _ call: PluginCall<Step>
  ) throws(CNIError) {
    try member.list.collectGarbage(valid: valid) { turn throws(CNIError) in
      if let part = try work.part(turn, of: member) {
        for kept in try work.parts.collect(part, valid: valid) { call.spare(kept) }
        return
      }
      try call.journal.waiting(.collectDelegates) { permit throws(CNIError) in
        _ = try work.run(turn, of: member, permit) { error throws(CNIError) in
          if !error.isUnknownCommand { throw error.cniError(.delegate) }
          return nil
        }
      }
    }
  }
}
