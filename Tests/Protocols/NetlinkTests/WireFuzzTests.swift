import Addresses
import CLinux
import TestSupport
import Testing

@testable import Netlink

@Suite("Netlink under damaged input")
struct WireFuzzTests {
  /// One valid message of each kind.
  static let corpus = [
    ReaderTests.link, acknowledgement(1, 22), done(3), link(4, index: 5),
    hex(
      """
      4c000000 1800 0200 01000000 00000000 02 00 00 00 fe 03 00 01 00000000
      0800 0f00 e8030000 2400 0900 1000 00 00 02000000 0800 0500 0a000001
      1000 00 04 03000000 0800 0500 0a000002 0400 0800
      """),
    hex(
      """
      3c000000 1400 0000 01000000 00000000 0a 40 80 00 07000000
      1400 0100 20010db8000000000000000000000002 0800 0800 80000000
      """),
    hex(
      """
      24000000 1c00 0000 01000000 00000000
      02 00 0000 07000000 8000 00 00 0800 0100 0a000001
      """),
    hex(
      """
      24000000 0200 0003 03000000 00000000
      eaffffff 20000000 1000 0506 03000000 00000000
      """),
  ]
  /// One of each kind that traffic control sends.
  static let traffic =
    TrafficReaderTests.buckets + [TrafficReaderTests.htb, TrafficReaderTests.police]
  static let tokens: [[UInt8]] = [
    [0, 0], [3, 0], [4, 0], [0xFF, 0xFF], [0, 0, 0, 0], [16, 0, 0, 0], [8, 0, 4, 0],
  ]

  @Test("No bytes trap or loop, whatever reads them")
  func datagrams() async {
    await #expect(processExitsWith: .success) {
      let seed = UInt64.random(in: .min ... .max)
      print("seed \(seed)")
      var mutator = Mutator(seed: seed, corpus: WireFuzzTests.corpus, tokens: WireFuzzTests.tokens)
      for _ in 0..<Program.rounds(120_000) {
        let bytes = mutator.next()
        var reader = MessageReader(bytes[...])
        // No message is shorter than its header, which bounds the loop.
        for _ in 0...(bytes.count / 16) {
          guard let message = try? reader.next() else { break }
          _ = try? NetlinkNotification(message)
        }
        if (try? reader.next()) != nil { preconditionFailure("endless messages") }
        var attributes = AttributeReader(bytes[...])
        for _ in 0...(bytes.count / 4) {
          guard let attribute = try? attributes.next() else { break }
          _ = attribute.text
        }
        if (try? attributes.next()) != nil { preconditionFailure("endless attributes") }
      }
    }
  }

  @Test("No payload traps or loops in a reader of objects")
  func objects() async {
    await #expect(processExitsWith: .success) {
      let seed = UInt64.random(in: .min ... .max)
      print("seed \(seed)")
      var mutator = Mutator(
        seed: seed, corpus: WireFuzzTests.corpus.map { Array($0.dropFirst(16)) },
        tokens: WireFuzzTests.tokens)
      var read = 0
      for _ in 0..<Program.rounds(120_000) {
        let payload = mutator.next()[...]
        let flags = Int32(mutator.number(below: 0x400))
        let message = NetlinkMessage(
          type: Int(NLMSG_ERROR), flags: flags, sequence: 1, portID: 0, payload: payload)
        if (try? Link(message)) != nil { read += 1 }
        if (try? InterfaceAddress(message)) != nil { read += 1 }
        if (try? Route(message)) != nil { read += 1 }
        if (try? Acknowledgement(message)) != nil { read += 1 }
      }
      precondition(read > Program.rounds(75_000), "the damage left too little to read: \(read)")
    }
  }

  @Test("No payload traps or loops in a reader of traffic control")
  func trafficControl() async {
    await #expect(processExitsWith: .success) {
      let seed = UInt64.random(in: .min ... .max)
      print("seed \(seed)")
      var mutator = Mutator(
        seed: seed, corpus: WireFuzzTests.traffic.map { Array($0.dropFirst(16)) },
        tokens: WireFuzzTests.tokens)
      var (buckets, classes, policers) = (0, 0, 0)
      for _ in 0..<Program.rounds(120_000) {
        let message = NetlinkMessage(
          type: Int(RTM_NEWQDISC), flags: 0, sequence: 1, portID: 0, payload: mutator.next()[...])
        if (try? QueueDiscipline(message))?.tokenBucket != nil { buckets += 1 }
        if (try? TrafficClass(message))?.hierarchical != nil { classes += 1 }
        let filter = try? TrafficFilter(message)
        if let filter, filter.actions.contains(where: { $0.police != nil }) { policers += 1 }
      }
      let least = min(buckets, classes, policers)
      precondition(least > Program.rounds(500), "\((buckets, classes, policers)) were readable")
    }
  }
}
