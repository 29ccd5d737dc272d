/// What a call must not share with another one while it runs.
package struct Claim: Equatable, Sendable {
  /// Attachments, by `container/ifname`.
  package var attachments: Set<String>
  /// What plugins ask for beyond their attachments, such as a pod.
  package var locks: Set<String>
  /// Networks that others may be in as well.
  package var networks: Set<String>
  /// Networks that nobody else may be in.
  package var aloneIn: Set<String>

  /// A claim to what is named, and to nothing without a name.
  package init(
    attachments: Set<String> = [], locks: Set<String> = [], networks: Set<String> = [],
    aloneIn: Set<String> = []
  ) {
    self.attachments = attachments
    self.locks = locks
    self.networks = networks
    self.aloneIn = aloneIn
  }

  /// The name of an attachment in a claim.
  package static func attachment(_ containerID: String, _ ifName: String) -> String {
    "\(containerID)/\(ifName)"
  }

  /// Whether two calls with these claims must not run side by side.
  package func excludes(_ other: Claim) -> Bool {
    !attachments.isDisjoint(with: other.attachments) || !locks.isDisjoint(with: other.locks)
      || !aloneIn.isDisjoint(with: other.networks) || !aloneIn.isDisjoint(with: other.aloneIn)
      || !networks.isDisjoint(with: other.aloneIn)
  }

  /// Both claims in one.
  package func union(_ other: Claim) -> Claim {
    Claim(
      attachments: attachments.union(other.attachments), locks: locks.union(other.locks),
      networks: networks.union(other.networks), aloneIn: aloneIn.union(other.aloneIn))
  }

  /// The part of this claim that the other one lacks.
  package func subtracting(_ other: Claim) -> Claim {
    Claim(
      attachments: attachments.subtracting(other.attachments),
      locks: locks.subtracting(other.locks), networks: networks.subtracting(other.networks),
      aloneIn: aloneIn.subtracting(other.aloneIn))
  }

  /// Whether it claims nothing.
  package var isEmpty: Bool {
    attachments.isEmpty && locks.isEmpty && networks.isEmpty && aloneIn.isEmpty
  }
}
