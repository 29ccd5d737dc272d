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
      let (corpus, tokens) = (WireFuzzTests.corpus, WireFuzzTests.tokens)
      await Fuzz(120_000, corpus: corpus, tokens: tokens).run { mutator in
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
        return true
      }
    }
  }

  @Test("No payload traps or loops in a reader of objects")
  func objects() async {
    await #expect(processExitsWith: .success) {
      let corpus = WireFuzzTests.corpus.map { Array($0.dropFirst(16)) }
      await Fuzz(
        120_000, corpus: corpus, tokens: WireFuzzTests.tokens, accepting: 60_000
      ).run { mutator in
        let payload = mutator.next()[...]
        let flags = Int32(mutator.number(below: 0x400))
        let message = NetlinkMessage(
          type: Int(NLMSG_ERROR), flags: flags, sequence: 1, portID: 0, payload: payload)
        return [
          (try? Link(message)) != nil, (try? InterfaceAddress(message)) != nil,
          (try? Route(message)) != nil, (try? Acknowledgement(message)) != nil,
        ].contains(true)
      }
    }
  }

  @Test("No payload traps or loops in a reader of traffic control")
  func trafficControl() async {
    await #expect(processExitsWith: .success) {
      let corpus = WireFuzzTests.traffic.map { Array($0.dropFirst(16)) }
      let read = Locked([0, 0, 0])
      await Fuzz(120_000, corpus: corpus, tokens: WireFuzzTests.tokens).run { mutator in
        let message = NetlinkMessage(
          type: Int(RTM_NEWQDISC), flags: 0, sequence: 1, portID: 0, payload: mutator.next()[...])
        let found = [
          (try? QueueDiscipline(message))?.tokenBucket != nil,
          (try? TrafficClass(message))?.hierarchical != nil,
          (try? TrafficFilter(message))?.actions.contains { $0.police != nil } == true,
        ]
        read.withLock { read in
          for (kind, isRead) in found.enumerated() where isRead { read[kind] += 1 }
        }
        return found.contains(true)
      }
      let least = read.value.min() ?? 0
      precondition(least > Program.rounds(500), "\(read.value) were readable")
    }
  }
}
