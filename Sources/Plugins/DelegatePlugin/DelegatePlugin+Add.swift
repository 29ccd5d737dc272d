package import CNI
import JSON
import Libcni
import Linux
package import PluginKit
import Workbench

extension DelegatePlugin {
  /// Attaches the networks in order, and the plugins of each in order.
  ///
  /// A part that fails undoes itself. The others are undone by ``delete(_:)``, as with every ADD
  /// that has failed.
  ///
  /// - Returns: the result of the primary network.
  package func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let parts = try call.partsOfSet()
    let work = try SetCall(call.request, call.host, parts)
    try work.set.checkCacheDirectory(call.host.paths)
    let plan = try work.plan()
    try parts.claim(work.claim(), call.request.deadline)
    var session = try PodSession.attaching(call.request)
    let namespace = try session.identity()
    _ = consume session
    let journal = try call.record(plan: plan.map(\.planned), namespace: namespace)
    var results: [CNIResult] = []
    for member in work.set.members { results.append(try add(member, work, journal)) }
    call.remember(results)
    guard let primary = results.first else {
      throw CNIError(.internal, "a set without networks")
    }
    return primary
  }

  private func add(
    _ member: DelegateSet.Member, _ work: SetCall, _ journal: Journal<Step>
  ) throws(CNIError) -> CNIResult {
    var last = 0
    do throws(CNIError) {
      let result = try member.list.add(work.offered) { turn throws(CNIError) in
        last = turn.position
        if let part = try work.part(turn, of: member) { return try work.parts.add(part, journal) }
        return try run(turn, member, work, journal)
      }
      try journal.perform(.writeCache) { _ throws(CNIError) in
        try work.set.cache.write(work.cached(member, result))
      }
      return result
    } catch {
      // Nothing of those behind it is there: a DEL of theirs could only fail.
      journal.settle(PlannedPart.self) { work.isBehind($0, member, last) }
      throw error
    }
  }

  private func run(
    _ turn: ListedCall, _ member: DelegateSet.Member, _ work: SetCall, _ journal: Journal<Step>
  ) throws(CNIError) -> CNIResult {
    let place = SetCall.place(member, turn.position)
    let result = try journal.waiting(.runDelegate) { permit throws(CNIError) in
      try work.run(turn, of: member, permit) { error throws(CNIError) in
        // A DEL of it could only fail in the same way.
        if error.hasRunNothing || error.isOfVersion {
          journal.settle(PlannedPart.self) { $0.place == place }
        }
        throw error.cniError(.delegate)
      }
    }
    guard let result else { throw CNIError(.internal, "an ADD without a result") }
    return result
  }
}

extension SetCall {
  /// Whether a part comes after another one in an ADD.
  func isBehind(_ part: PlannedPart, _ member: DelegateSet.Member, _ position: Int) -> Bool {
    guard let index = part.index, let own = part.position else { return false }
    return (index, own) > (member.index, position)
  }

  /// What libcni would remember of a network.
  func cached(_ member: DelegateSet.Member, _ result: CNIResult) throws(CNIError)
    -> CachedAttachment
  {
    let version = try CNIVersion.check(member.list.version, for: .add)
    return CachedAttachment(
      network: member.list.name, containerID: request.sandboxID, ifName: member.ifName,
      netns: request.netns,
      arguments: request.arguments.pairs.map { CNIArgument($0.key, $0.value) }, offered: offered,
      list: member.list.bytes, result: try result.json(as: version).object)
  }
}
