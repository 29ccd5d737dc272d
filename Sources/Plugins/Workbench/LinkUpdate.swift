package import Addresses
package import CNI
package import Linux
package import Netlink
package import PluginKit

/// One change of an UPDATE, and the way back.
package struct Reversible {
  /// Makes the change, or takes it back.
  package typealias Effect = (inout PodSession, borrowing Permit) throws(CNIError) -> Void

  let forward: Effect
  let back: Effect

  /// Takes both ways.
  package init(_ forward: @escaping Effect, back: @escaping Effect) {
    (self.forward, self.back) = (forward, back)
  }

  /// Changes of one link; both ways the kernel goes on after one that it refuses.
  package init(
    _ link: Link, on side: PodSession.Side, _ forward: [NetlinkChange], back: [NetlinkChange]
  ) {
    self.init { session, permit throws(CNIError) in
      try session.apply(
        forward, on: side, permit, doing: "failed to update \(goQuoted(link.name))")
    } back: { session, permit throws(CNIError) in
      try session.apply(back, on: side, permit)
    }
  }

  /// Other settings of one link; nil if it has them already.
  ///
  /// A setting that is nil stays as it is.
  package init?(
    _ link: Link, on side: PodSession.Side, mtu: UInt32? = nil, mac: MACAddress? = nil,
    mode: MacvlanMode? = nil
  ) {
    let other = LinkSettings(
      mac: mac == link.mac ? nil : mac, mtu: mtu == link.mtu ? nil : mtu,
      macvlanMode: mode == link.macvlan?.mode ? nil : mode)
    if other.mac == nil, other.mtu == nil, other.macvlanMode == nil { return nil }
    let before = LinkSettings(
      mac: other.mac.flatMap { _ in link.mac }, mtu: other.mtu.map { _ in link.mtu },
      macvlanMode: other.macvlanMode.flatMap { _ in link.macvlan?.mode })
    self.init(link, on: side, [.change(link, other)], back: [.change(link, before)])
  }
}

extension PodSession {
  /// Makes all changes of an UPDATE or none; nil changes nothing.
  ///
  /// Changes of one step that follow each other are one. The kernel does not take a refused message
  /// back as a whole, so in the step `restore` every change is put back, also the one that failed.
  /// The refusal is what the caller is told; what could not be put back stands in its details.
  package mutating func update<Step: PluginStep>(
    _ changes: [(step: Step, change: Reversible?)], restore: Step, _ journal: Journal<Step>
  ) throws(CNIError) {
    let changes = changes.compactMap { step, change in change.map { (step: step, change: $0) } }
    var rest = changes[...]
    do throws(CNIError) {
      while let step = rest.first?.step {
        let part = rest.prefix { $0.step.rawValue == step.rawValue }
        rest = rest.dropFirst(part.count)
        try journal.waiting(step) { permit throws(CNIError) in
          for entry in part { try entry.change.forward(&self, permit) }
        }
      }
    } catch {
      throw restored(changes.map(\.change), restore, journal, error)
    }
  }

  /// Puts every change back; returns the refusal, with what could not be.
  private mutating func restored<Step: PluginStep>(
    _ changes: [Reversible], _ step: Step, _ journal: Journal<Step>, _ refusal: CNIError
  ) -> CNIError {
    do throws(CNIError) {
      try journal.waiting(step) { permit throws(CNIError) in
        var failure: CNIError?
        for change in changes {
          do throws(CNIError) {
            try change.back(&self, permit)
          } catch {
            failure = failure ?? error
          }
        }
        if let failure { throw failure }
      }
      return refusal
    } catch {
      let details = refusal.details.isEmpty ? "" : refusal.details + "; "
      return CNIError(
        refusal.code, refusal.message, details: "\(details)not all was put back: \(error)")
    }
  }
}
