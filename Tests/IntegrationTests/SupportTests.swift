import Glibc
import TestSupport
import Testing

/// The fixtures themselves: a test that relies on them is worth as much as they are.
@Suite struct SupportTests {
  struct Planted: Error, Equatable {}

  @Test("onThread returns what its body returned")
  func value() async {
    #expect(await onThread { 42 } == 42)
  }

  @Test("onThread throws what its body threw, with its type")
  func error() async {
    await #expect(throws: Planted()) {
      try await onThread { () throws(Planted) in throw Planted() }
    }
  }

  @Test("Twenty blocking bodies wait side by side, however few cores there are")
  func sideBySide() async {
    let clock = ContinuousClock()
    let start = clock.now
    await withTaskGroup { group in
      for _ in 0..<20 { group.addTask { await onThread { _ = usleep(200_000) } } }
    }
    #expect(clock.now - start < .seconds(2))
  }
}
