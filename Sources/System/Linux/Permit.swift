/// Proof that the undo of a change was recorded before the change is made.
///
/// Every function that changes something outside the process (a link, an address, a lease, a
/// plugin that is executed) borrows one. Only `PluginKit`'s journal makes them, so an effect that
/// nobody recorded does not compile.
public struct Permit: ~Copyable, Sendable {
  /// Creates a permit; only the journal and tests import this with `@_spi(Journal)`.
  @_spi(Journal) public init() {}
}
