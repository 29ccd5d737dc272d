@testable import Scheduling
import PluginKit
import Testing

@Suite("Claims")
struct ClaimTests {
  private static let one = Claim(attachments: ["a/eth0"], locks: ["pod"], networks: ["n"])

  @Test(
    "two claims exclude each other by an attachment, a lock, or a network that one is alone in",
    arguments: [
      (Claim(attachments: ["a/eth0", "a/net1"]), true), (Claim(locks: ["pod"]), true),
      (Claim(aloneIn: ["n"]), true), (Claim(networks: ["n"]), false),
      (Claim(attachments: ["n"], locks: ["n"]), false), (Claim(aloneIn: ["m"]), false),
      (Claim(), false),
    ])
  func excludes(other: Claim, excludes: Bool) {
    #expect(Self.one.excludes(other) == excludes)
    #expect(other.excludes(Self.one) == excludes)
    var table = ClaimTable()
    table.begin(1, Self.one)
    #expect(table.mayBegin(other) == !excludes)
    table.end(1)
    #expect(table.mayBegin(other))
  }

  @Test("two that want to be alone in a network exclude each other")
  func bothAlone() {
    let alone = Claim(aloneIn: ["n"])
    #expect(alone.excludes(alone))
  }

  @Test("what a running call asks for it gets as a whole, once all of it is free")
  func allOrNone() {
    var table = ClaimTable()
    table.begin(1, Claim(attachments: ["a/eth0"]))
    table.begin(2, Claim(networks: ["n"]))
    table.begin(3, Claim(attachments: ["a/net1"]))
    let more = Claim(attachments: ["a/net1"], aloneIn: ["n"])
    let mayAsk = table.want(1, more)
    #expect(mayAsk && table.grant() == [])
    table.end(3)
    // Half of it is free, and is still the others'.
    #expect(table.grant() == [])
    #expect(table.claim(of: 1) == Claim(attachments: ["a/eth0"]))
    table.end(2)
    #expect(table.grant() == [1])
    #expect(table.claim(of: 1)?.aloneIn == ["n"])
  }

  @Test("what is asked for goes before calls that have not begun, until it is withdrawn")
  func beforeOthers() {
    var table = ClaimTable()
    table.begin(1, Claim())
    table.begin(2, Claim(networks: ["n"]))
    let mayAsk = table.want(1, Claim(aloneIn: ["n"]))
    #expect(mayAsk && table.grant() == [])
    #expect(!table.mayBegin(Claim(networks: ["n"])))
    table.withdraw(1)
    #expect(table.mayBegin(Claim(networks: ["n"])))
  }

  @Test("a call asks for good once; in passing it may ask again and again")
  func once() {
    var table = ClaimTable()
    table.begin(1, Claim())
    for _ in 0..<3 {
      let mayAsk = table.want(1, Claim(locks: ["pod"]), .inPassing)
      #expect(mayAsk && table.grant() == [1])
      #expect(!table.mayBegin(Claim(locks: ["pod"])))
      table.giveBack(1, Claim(locks: ["pod"]))
      #expect(table.mayBegin(Claim(locks: ["pod"])))
    }
    let first = table.want(1, Claim(locks: ["a"]))
    let granted = table.grant()
    let second = table.want(1, Claim(locks: ["b"]))
    #expect(first && granted == [1] && !second)
    let stranger = table.want(7, Claim())
    #expect(!stranger)
  }

  @Test("what is asked for in passing goes before what is asked for good")
  func passing() {
    var table = ClaimTable()
    // A set waits for the network of a GC, which passes the set's pod.
    table.begin(1, Claim(attachments: ["a/eth0"]))
    table.begin(2, Claim(aloneIn: ["n"]))
    _ = table.want(1, Claim(locks: ["pod"], networks: ["n"]))
    #expect(table.grant() == [])
    _ = table.want(2, Claim(locks: ["pod"]), .inPassing)
    #expect(table.grant() == [2])
    table.end(2)
    #expect(table.grant() == [1])
  }

  @Test("of two that ask for the same the first gets it first")
  func inOrder() {
    var table = ClaimTable()
    for id in 1...3 as ClosedRange<UInt64> { table.begin(id, Claim(locks: ["\(id)"])) }
    for id in [2, 1] as [UInt64] { _ = table.want(id, Claim(locks: ["3"])) }
    table.end(3)
    #expect(table.grant() == [2])
    #expect(table.grant() == [])
    table.end(2)
    #expect(table.grant() == [1])
  }

  @Test("a call that is in a network may ask to be alone in it")
  func alone() {
    var table = ClaimTable()
    table.begin(1, Claim(networks: ["n"]))
    _ = table.want(1, Claim(aloneIn: ["n"]))
    #expect(table.grant() == [1])
  }
}
