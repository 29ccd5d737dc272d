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

  /// Changes of one link; going back passes over what the kernel refuses.
  package init(
    _ link: Link, on side: PodSession.Side, _ forward: [NetlinkChange], back: [NetlinkChange]
  ) {
    self.init { session, permit throws(CNIError) in
      try session.apply(
        forward, on: side, permit, doing: "failed to update \(goQuoted(link.name))")
    } back: { session, permit throws(CNIError) in
      for change in back { try? session.apply([change], on: side, permit) }
    }
  }

  /// Other settings of one link.
  package init(
    _ link: Link, on side: PodSession.Side, _ forward: LinkSettings, back: LinkSettings
  ) {
    self.init(
      link, on: side, [.changeLink(index: link.index, name: link.name, forward)],
      back: [.changeLink(index: link.index, name: link.name, back)])
  }

  /// Another MTU; nil if the link has it already.
  package static func mtu(_ mtu: UInt32, of link: Link, on side: PodSession.Side) -> Reversible? {
    if link.mtu == mtu { return nil }
    var (forward, back) = (LinkSettings(), LinkSettings())
    (forward.mtu, back.mtu) = (mtu, link.mtu)
    return Reversible(link, on: side, forward, back: back)
  }
}

extension PodSession {
  /// Makes all changes of an UPDATE or none.
  ///
  /// Changes of one step that follow each other are one. The kernel does not take a refused message
  /// back as a whole, so in the step `restore` every change is put back, also the one that failed.
  /// The refusal is what the caller is told.
  package mutating func update<Step: PluginStep>(
    _ changes: [(step: Step, change: Reversible)], restore: Step, _ journal: Journal<Step>
  ) throws(CNIError) {
    var rest = changes[...]
    do throws(CNIError) {
      while let step = rest.first?.step {
        let part = rest.prefix { $0.step.rawValue == step.rawValue }
        rest = rest.dropFirst(part.count)
        try journal.perform(step) { permit throws(CNIError) in
          for entry in part { try entry.change.forward(&self, permit) }
        }
      }
    } catch {
      try? journal.perform(restore) { permit throws(CNIError) in
        for entry in changes { try? entry.change.back(&self, permit) }
      }
      throw error
    }
  }
}
