package import CNI
import JSON
import Libcni
import Linux
package import PluginKit

extension DelegatePlugin {
  /// The least time that a network's DEL has, however many others there are.
  private static let leastMilliseconds = 2000

  /// Detaches the networks, the last one first; one that fails keeps no other.
  ///
  /// Also the undo of a failed ADD, and the DEL of one network alone: only what stands in the
  /// record's plan is touched.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let work: SetCall
    do throws(CNIError) {
      work = try SetCall(call.request, call.host, try call.partsOfSet(), call.record)
    } catch {
      // No ADD can have made anything of it.
      guard call.record == nil else { throw error }
      return call.host.log(.warning, "DEL has nothing to remove: \(error)")
    }
    let members = work.set.members.filter { work.isPlanned($0) }
    var failures: [CNIError] = []
    for (before, member) in members.enumerated().reversed() {
      do throws(CNIError) {
        let own = work.limited(toShareOf: before + 1, atLeast: Self.leastMilliseconds)
        try delete(member, own, call)
      } catch {
        failures.append(error)
      }
    }
    if let error = CNIError(joining: failures) { throw error }
  }

  private func delete(
    _ member: DelegateSet.Member, _ work: SetCall, _ call: PluginCall<Step>
  ) throws(CNIError) {
    // Without a record a network's author says where it is.
    let hasCache =
      call.record != nil || (try? work.set.checkCacheDirectory(call.host.paths)) != nil
    let known =
      call.record?.networkResult(member.index) ?? (hasCache ? work.cachedResult(member) : nil)
    let isBegun = call.record.map { !$0.isCompleteSet } ?? false
    try member.list.delete(
      known, work.offered, where: { work.isPlanned(member, $0) }
    ) { turn throws(CNIError) in
      if let part = try work.part(turn, of: member) {
        return try work.parts.delete(part, isBegun: isBegun)
      }
      try call.journal.waiting(.runDelegateDelete) { permit throws(CNIError) in
        _ = try work.run(turn, of: member, permit) { error throws(CNIError) in
          try excuse(error, turn, call)
          return nil
        }
      }
    }
    if hasCache { try forget(member, work, call) }
  }

  /// What becomes of a program's failure.
  ///
  /// Of a program whose ADD has failed the DEL may fail for ever: that keeps no pod, but is tried
  /// again.
  private func excuse(
    _ error: PluginError, _ turn: ListedCall, _ call: PluginCall<Step>
  ) throws(CNIError) {
    let told = error.cniError(.delegate)
    switch call.record {
    case let record? where record.isCompleteSet: throw told
    case .some:
      if error.reason == .deadline { throw told }
      call.postpone("the DEL of \(goQuoted(turn.plugin.type)), whose ADD has failed: \(told)")
    case nil:
      // What cannot be run, or refuses the version, has made nothing that is known.
      guard error.hasRunNothing || error.isOfVersion else { throw told }
      call.host.log(.warning, "DEL goes on without \(goQuoted(turn.plugin.type)): \(told)")
    }
  }

  /// As with libcni, a cache that cannot be written to fails no DEL.
  private func forget(
    _ member: DelegateSet.Member, _ work: SetCall, _ call: PluginCall<Step>
  ) throws(CNIError) {
    try call.journal.perform(.removeCache) { _ throws(CNIError) in
      do throws(CNIError) {
        try work.set.cache.remove(
          network: member.list.name, containerID: call.request.sandboxID, ifName: member.ifName)
      } catch {
        call.host.log(
          .warning, "the result of network \(goQuoted(member.list.name)) stays: \(error)")
      }
    }
  }
}

extension SetCall {
  /// The same with a share of the time that is left.
  func limited(toShareOf count: Int, atLeast least: Int) -> SetCall {
    var own = request
    let left = request.deadline.remainingMilliseconds
    own.deadline = request.deadline.capped(milliseconds: max(least, left / max(1, count)))
    return SetCall(self, own)
  }

  /// The result that a runtime of libcni has kept of a network, if the record has none.
  func cachedResult(_ member: DelegateSet.Member) -> CNIResult? {
    let kept = set.cache.attachment(
      network: member.list.name, containerID: request.sandboxID, ifName: member.ifName)
    // One that cannot be read is as none.
    return (try? kept?.result(in: member.list)) ?? nil
  }
}
