package import PluginKit

/// The claims of the calls that run, and what some of them ask for besides.
///
/// Nobody waits for ever, by three rules. A call that has not begun holds nothing. A running one
/// asks once for more and gets all of it or nothing; while it waits it holds what it began with,
/// and that is never what another one asks for. What is asked for goes before calls that have not
/// begun.
package struct ClaimTable: Sendable {
  /// How a running call asks for more.
  package enum Manner: Sendable {
    /// Until the call ends, and only once.
    case forGood
    /// For a moment, in which the call asks for nothing else. So it goes before the other manner:
    /// whoever asks for good may have to wait for this call's end.
    case inPassing
    /// Until the call ends, by the newest of those who want it: the older ones are ended, and a
    /// newer one bars this one. So it waits for nobody who may wait for it, and may ask again.
    case byAge
  }

  private struct Wish: Sendable {
    let id: UInt64
    let claim: Claim
    let manner: Manner
  }

  /// How many running calls claim a name.
  private struct Holders: Sendable {
    private var counts: [String: Int] = [:]

    func has(anyOf names: Set<String>) -> Bool { names.contains { counts[$0] != nil } }

    mutating func add(_ names: Set<String>) {
      for name in names { counts[name, default: 0] += 1 }
    }

    mutating func remove(_ names: Set<String>) {
      for name in names {
        let left = counts[name, default: 1] - 1
        counts[name] = left > 0 ? left : nil
      }
    }
  }

  private var claims: [UInt64: Claim] = [:]
  private var attachments = Holders()
  private var locks = Holders()
  private var networks = Holders()
  private var aloneIn = Holders()
  /// In the order in which they were uttered.
  private var wishes: [Wish] = []
  private var haveAsked: Set<UInt64> = []

  /// A table on which nobody has anything.
  package init() {}

  /// What a running call has by now; nil if it does not run.
  package func claim(of id: UInt64) -> Claim? { claims[id] }

  /// The locks that a running call has or waits for.
  package func named(by id: UInt64) -> Set<String> {
    wishes.filter { $0.id == id }.reduce(into: claims[id]?.locks ?? []) {
      $0.formUnion($1.claim.locks)
    }
  }

  /// Whether a call with this claim may begin.
  ///
  /// One that comes from inside of a running call goes before wishes: who utters them may have to
  /// wait for that running call.
  package func mayBegin(_ claim: Claim, beforeWishes: Bool = false) -> Bool {
    isFree(claim) && (beforeWishes || !wishes.contains { $0.claim.excludes(claim) })
  }

  /// A call begins.
  package mutating func begin(_ id: UInt64, _ claim: Claim) {
    claims[id] = claim
    add(claim)
  }

  /// A running call asks for more; ``grant()`` says when it has it.
  ///
  /// - Returns: false if it must not ask: it does not run, waits already, or has asked for good
  ///   before.
  package mutating func want(_ id: UInt64, _ more: Claim, _ manner: Manner = .forGood) -> Bool {
    guard let own = claims[id], !wishes.contains(where: { $0.id == id }) else { return false }
    if manner == .forGood, !haveAsked.insert(id).inserted { return false }
    wishes.append(Wish(id: id, claim: more.subtracting(own), manner: manner))
    return true
  }

  /// A call that asked for more waits no longer for it.
  package mutating func withdraw(_ id: UInt64) { wishes.removeAll { $0.id == id } }

  /// Gives to those who asked what is free by now, all or nothing, and in the order in which they
  /// asked.
  ///
  /// - Returns: the calls that got it.
  package mutating func grant() -> [UInt64] {
    if wishes.isEmpty { return [] }
    var granted: [UInt64] = []
    var ahead: [Claim] = []
    let inOrder =
      wishes.filter { $0.manner == .inPassing } + wishes.filter { $0.manner != .inPassing }
    for wish in inOrder {
      if isFree(wish.claim, but: wish.id), !ahead.contains(where: { $0.excludes(wish.claim) }) {
        granted.append(wish.id)
        claims[wish.id]?.formUnion(wish.claim)
        add(wish.claim)
      } else {
        ahead.append(wish.claim)
      }
    }
    wishes.removeAll { granted.contains($0.id) }
    return granted
  }

  /// A running call gives back a part of what it got in passing.
  package mutating func giveBack(_ id: UInt64, _ part: Claim) {
    guard let own = claims[id] else { return }
    let rest = own.subtracting(part)
    claims[id] = rest
    remove(own.subtracting(rest))
  }

  /// A call has ended.
  package mutating func end(_ id: UInt64) {
    withdraw(id)
    haveAsked.remove(id)
    if let claim = claims.removeValue(forKey: id) { remove(claim) }
  }

  private func isFree(_ claim: Claim) -> Bool {
    !attachments.has(anyOf: claim.attachments) && !locks.has(anyOf: claim.locks)
      && !aloneIn.has(anyOf: claim.networks) && !aloneIn.has(anyOf: claim.aloneIn)
      && !networks.has(anyOf: claim.aloneIn)
  }

  /// The same for a running call, which does not stand in its own way: one that is in a network may
  /// ask to be alone there.
  private func isFree(_ claim: Claim, but id: UInt64) -> Bool {
    isFree(claim) || !claims.contains { $0.key != id && $0.value.excludes(claim) }
  }

  private mutating func add(_ claim: Claim) {
    attachments.add(claim.attachments)
    locks.add(claim.locks)
    networks.add(claim.networks)
    aloneIn.add(claim.aloneIn)
  }

  private mutating func remove(_ claim: Claim) {
    attachments.remove(claim.attachments)
    locks.remove(claim.locks)
    networks.remove(claim.networks)
    aloneIn.remove(claim.aloneIn)
  }
}

extension Claim {
  fileprivate mutating func formUnion(_ other: Claim) { self = union(other) }
}
