public import Addresses
import Linux

/// The node's pod network, once it is known.
///
/// The first one that is told counts until the daemon's next start, as with kubelet's kubenet: pods
/// have addresses of it.
public final class PodCIDR: Sendable {
  private let network = Mutex<IPNetwork?>(nil)

  /// Not known yet.
  public init() {}

  /// The network; nil while it is not known.
  public var current: IPNetwork? { network.withLock { $0 } }

  /// Takes a network for the node's if none is known.
  ///
  /// - Returns: the one that counts.
  package func learn(_ new: IPNetwork) -> IPNetwork {
    network.withLock { network in
      let first = network ?? new
      network = first
      return first
    }
  }
}
