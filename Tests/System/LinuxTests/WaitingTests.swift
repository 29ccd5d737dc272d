import Linux
import TestSupport
import Testing

@Suite("Deadlines and waits")
struct WaitingTests {
  @Test(
    "A deadline beyond what the clock can hold never comes",
    arguments: [Deadline.after(seconds: .max), Deadline.after(milliseconds: .max), .never])
  func farAway(deadline: Deadline) {
    #expect(deadline.nanoseconds == .max)
    #expect(!deadline.isOver)
  }

  @Test("A deadline of no or negative length is over", arguments: [0, -1, .min])
  func past(milliseconds: Int) {
    #expect(Deadline.after(milliseconds: milliseconds).isOver)
  }

  @Test("Capping takes the sooner end")
  func capped() {
    let soon = Deadline.after(milliseconds: 50)
    #expect(soon.capped(milliseconds: 10_000).nanoseconds == soon.nanoseconds)
    #expect(Deadline.never.capped(milliseconds: 50).remainingMilliseconds <= 50)
  }

  @Test("A wait for nothing ends with ETIMEDOUT, not before its time")
  func timeOut() async throws {
    let (error, span) = await onThread {
      let began = KernelClock.monotonic
      var caught: SystemError?
      do throws(SystemError) {
        let event = try EventDescriptor()
        try Deadline.after(milliseconds: 40).wait(
          event.descriptor.rawValue, for: .read, "wait", "it")
      } catch {
        caught = error
      }
      return (caught, KernelClock.monotonic - began)
    }
    #expect(error == SystemError("wait", "it", .timedOut))
    #expect(span >= 40_000_000)
  }

  @Test("A cancellation ends a wait that has begun, and every later one")
  func cancellation() async throws {
    let cancellation = try Cancellation()
    try OSThread.start {
      Clock.pause(milliseconds: 20)
      cancellation.cancel()
    }
    let errors = await onThread {
      (0..<2).map { _ -> Errno? in
        guard let event = try? EventDescriptor() else { return nil }
        let deadline = Deadline.after(seconds: 20, cancellation: cancellation)
        do throws(SystemError) {
          try deadline.wait(event.descriptor.rawValue, for: .read, "wait")
          return nil
        } catch {
          return error.errno
        }
      }
    }
    #expect(errors == [.cancelled, .cancelled])
    #expect(cancellation.isCancelled)
  }

  @Test("A semaphore lets as many through as were signalled")
  func semaphore() async throws {
    let passed = await onThread { () -> Int in
      guard let semaphore = try? Semaphore() else { return 0 }
      for _ in 0..<3 { semaphore.signal() }
      for _ in 0..<3 { semaphore.wait() }
      return 3
    }
    #expect(passed == 3)
  }

  @Test("Epoll reports the token of what became readable, and only that")
  func epoll() throws {
    let epoll = try Epoll()
    let quiet = try EventDescriptor()
    let loud = try EventDescriptor()
    try epoll.add(quiet.descriptor.rawValue, .read, token: 1)
    try epoll.add(loud.descriptor.rawValue, .read, token: 2)
    #expect(try epoll.wait(milliseconds: 0).isEmpty)
    loud.signal()
    #expect(try epoll.wait(milliseconds: 1000).map(\.token) == [2])
    loud.reset()
    #expect(try epoll.wait(milliseconds: 0).isEmpty)
  }

  @Test("A boot id is a UUID, the same each time")
  func bootID() throws {
    let id = try Boot.id()
    #expect(id.utf8.count == 36)
    #expect(try Boot.id() == id)
  }
}
