/// Where calls of a test wait until it lets them go on.
///
/// A call that was only begun may still be refused or cancelled. One at the door has come so far.
public final class Door: Sendable {
  private struct State: Sendable {
    var isOpen = false
    var arrived = 0
  }
  private let state = Watched(State())

  /// A door that is closed.
  public init() {}

  /// Opens it for good.
  public func open() { state.change { $0.isOpen = true } }

  /// Waits until it is open; blocks.
  public func pass() {
    state.change { $0.arrived += 1 }
    _ = state.wait { $0.isOpen }
  }

  /// Waits until somebody has come to it.
  public func isReached() async -> Bool { await state.reaches { $0.arrived > 0 } }
}
