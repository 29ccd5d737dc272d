import Testing

@testable import OVSDB

/// Seconds as the connection's clock counts them.
private func seconds(_ count: UInt64) -> UInt64 { count * 1_000_000_000 }

@Suite("When a silent server is asked and given up, and when another try comes")
struct ConnectionTimeTests {
  private var silence: Silence { Silence(limit: seconds(5), now: seconds(100)) }

  @Test("After five seconds without a word the server is asked, once")
  func asked() {
    var silence = silence
    #expect(silence.end == seconds(105))
    #expect(silence.due(now: seconds(105) - 1) == .nothing)
    #expect(silence.due(now: seconds(105)) == .ask)
    #expect(silence.due(now: seconds(106)) == .nothing)
  }

  @Test("Five seconds after the question it is given up")
  func givenUp() {
    var silence = silence
    #expect(silence.due(now: seconds(107)) == .ask)
    #expect(silence.end == seconds(112))
    #expect(silence.due(now: seconds(112)) == .giveUp)
  }

  @Test("Whatever the server says begins the silence anew")
  func broken() {
    var silence = silence
    #expect(silence.due(now: seconds(105)) == .ask)
    silence.broken(now: seconds(109))
    #expect(silence.due(now: seconds(113)) == .nothing)
    #expect(silence.due(now: seconds(114)) == .ask)
  }

  @Test("A silence longer than the clock never ends")
  func endless() {
    var silence = Silence(limit: .max, now: seconds(100))
    #expect(silence.end == .max && silence.due(now: seconds(1_000_000)) == .nothing)
  }

  @Test("In a short outage the pauses stay at 100 ms; then they double up to 5 s")
  func pauses() {
    var pauses = RetryPauses(ConnectionTime())
    #expect((0..<3).map { _ in pauses.next(isOutageShort: true) } == [100, 100, 100])
    #expect(
      (0..<8).map { _ in pauses.next(isOutageShort: false) }
        == [100, 200, 400, 800, 1600, 3200, 5000, 5000])
    pauses.reset()
    #expect(pauses.next(isOutageShort: false) == 100)
  }

  @Test("The usual times are those of the documentation")
  func usual() {
    let time = ConnectionTime()
    #expect(time.silence == seconds(5) && time.patience == seconds(2))
    #expect(time.tryMilliseconds == 10_000)
  }
}
