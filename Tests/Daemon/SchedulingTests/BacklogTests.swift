@testable import Scheduling
import Linux
import PluginKit
import Testing

@Suite("Backlog")
struct BacklogTests {
  private let key = AttachmentKey(network: "n", containerID: "c", ifName: "eth0", plugin: "p")
  private static let second: UInt64 = 1_000_000_000

  @Test("what is added is due at once and handed out once, in the order of stamps")
  func due() throws {
    let backlog = try Backlog()
    backlog.add(.sweep(namespaceID: 1), stamp: 9)
    backlog.add(.finish(key), stamp: 3)
    backlog.add(.finish(key), stamp: 1)
    #expect(backlog.takeDue(0).map(\.task) == [.finish(key), .sweep(namespaceID: 1)])
    #expect(backlog.takeDue(.max).isEmpty)
    #expect(backlog.count == 2)
  }

  @Test("what fails is due again after one, two, four seconds, at last once a minute")
  func pauses() throws {
    let backlog = try Backlog()
    backlog.add(.finish(key))
    var now: UInt64 = 0
    for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] as [UInt64] {
      #expect(backlog.takeDue(now).count == 1)
      #expect(backlog.putBack(.finish(key), now) == pause)
      #expect(backlog.takeDue(now &+ pause * Self.second - 1).isEmpty)
      now += pause * Self.second
    }
  }

  @Test("what was tried already is due after a pause")
  func tried() throws {
    let backlog = try Backlog()
    let before = KernelClock.monotonic
    backlog.add(.finish(key), hasFailed: true)
    #expect(backlog.takeDue(before + Self.second - 1).isEmpty)
    #expect(backlog.takeDue(KernelClock.monotonic + 2 * Self.second).count == 1)
  }

  @Test("what was taken off is not wanted any more, also when it fails afterwards")
  func removed() throws {
    let backlog = try Backlog()
    backlog.add(.finish(key))
    _ = backlog.takeDue()
    backlog.remove(.finish(key))
    backlog.putBack(.finish(key))
    #expect(!backlog.contains(.finish(key)) && backlog.count == 0)
  }

  @Test("adding makes the descriptor readable, taking makes it quiet")
  func descriptor() throws {
    let backlog = try Backlog()
    func isReadable() -> Bool {
      (try? Deadline.after(milliseconds: 0).wait(backlog.descriptor, for: .read, "wait")) != nil
    }
    #expect(!isReadable())
    backlog.add(.finish(key))
    #expect(isReadable())
    _ = backlog.takeDue()
    #expect(!isReadable())
  }
}
