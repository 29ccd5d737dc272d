import Linux
import Testing

@testable import Netlink

@Suite("Traffic control as it comes in")
struct TrafficReaderTests {
  /// A bucket of 10 Gbit/s, whose rate still fits 32 bits, and one of 100 Gbit/s.
  static let buckets = [
    hex(
      """
      58000000 2400 0200 01000000 00000000             ; RTM_NEWQDISC, MULTI
      00 00 0000 02000000 00000180 ffffffff 02000000   ; tcmsg: index 2, handle 8001:, parent root
      0800 0100 74626600                               ; TCA_KIND "tbf"
      2c00 0200                                        ; TCA_OPTIONS of
        2800 0100                                      ;   TCA_TBF_PARMS
          00 01 0000 0000 0000 807c814a                ;     1250000000 bytes/s
          00 00 0000 0000 0000 00000000                ;     no peak rate
          00000200 88130000 00000000                   ;     limit 131072, buffer 5000 ticks
      """),
    hex(
      """
      64000000 2400 0200 01000000 00000000
      00 00 0000 02000000 00000180 ffffffff 02000000
      0800 0100 74626600
      3800 0200
        2800 0100
          00 01 0000 0000 0000 ffffffff                ;     more than fits
          00 00 0000 0000 0000 00000000
          00000200 88130000 00000000
        0c00 0400 00dd0ee902000000                     ;   TCA_TBF_RATE64 12500000000 bytes/s
      """),
  ]

  /// A class of 20 Mbit/s that may have 100 Gbit/s.
  static let htb = hex(
    """
    74000000 2800 0200 01000000 00000000               ; RTM_NEWTCLASS
    00 00 0000 02000000 01000100 ffffffff 00000000     ; index 2, class 1:1, parent root
    0800 0100 68746200                                 ; TCA_KIND "htb"
    4800 0200                                          ; TCA_OPTIONS of
      3000 0100                                        ;   TCA_HTB_PARMS
        00 01 0000 0000 0000 a0252600                  ;     rate 2500000 bytes/s
        00 01 0000 0000 0000 ffffffff                  ;     ceil: more than fits
        10270000 00000000 400d0300 00000000 00000000   ;     buffer, cbuffer, quantum, level, prio
      0c00 0700 00dd0ee902000000                       ;   TCA_HTB_CEIL64 12500000000 bytes/s
      0800 0500 00000000                               ;   TCA_HTB_DIRECT_QLEN
    """)

  /// A policer of 10 Mbit/s under a filter of kind `basic`, as Open vSwitch makes it,
  /// after another action.
  static let police = hex(
    """
    a8000000 2c00 0200 01000000 00000000               ; RTM_NEWTFILTER
    00 00 0000 02000000 01000000 f2ffffff 00033100     ; handle 1, parent ffff:fff2, preference 49, all protocols
    0a00 0100 62617369 63 00 0000                      ; TCA_KIND "basic"
    7800 0200                                          ; TCA_OPTIONS of
      7400 0300                                        ;   TCA_BASIC_ACT of
        1400 0100                                      ;     the first:
          0900 0100 67616374 00 000000                 ;       TCA_ACT_KIND "gact"
          0400 0280                                    ;       TCA_ACT_OPTIONS, empty
        5c00 0200                                      ;     the second:
          0b00 0100 706f6c69 6365 00 00                ;       TCA_ACT_KIND "police"
          4c00 0280                                    ;       TCA_ACT_OPTIONS of
            3c00 0100                                  ;         TCA_POLICE_TBF
              01000000 02000000 00000000 00240a00 00000100 ;       index, drop, limit, 664576 ticks, mtu
              00 01 0000 0000 0000 d0121300            ;           1250000 bytes/s
              00 00 0000 0000 0000 00000000
              01000000 01000000 00000000
            0c00 0a00 0000000000000000                 ;         TCA_POLICE_PKTRATE64
    """)

  @Test("A bucket's rate of 32 and of 64 bits, its burst from the time that it fills in")
  func tokenBuckets() throws {
    let read = try Self.buckets.map { try QueueDiscipline(try #require(try messages($0).first)) }
    #expect(read.map(\.kind) == ["tbf", "tbf"] && read.map(\.index) == [2, 2])
    #expect(read.map(\.handle.description) == ["8001:", "8001:"])
    #expect(read.map(\.parent) == [.root, .root])
    // 5000 ticks are 320 microseconds.
    #expect(
      read.map(\.tokenBucket) == [
        TokenBucket(rate: 1_250_000_000, burst: 400_000, limit: 131_072),
        TokenBucket(rate: 12_500_000_000, burst: 4_000_000, limit: 131_072),
      ])
  }

  @Test("Options of another kind, which are no attributes, are passed over")
  func otherKind() throws {
    let prio = hex(
      """
      40000000 2400 0200 01000000 00000000
      00 00 0000 02000000 00000000 ffffffff 02000000
      0f00 0100 70666966 6f5f6661 737400 00            ; TCA_KIND "pfifo_fast"
      0c00 0200 03000000 01020200                      ; TCA_OPTIONS, a structure
      """)
    let read = try QueueDiscipline(try #require(try messages(prio).first))
    #expect(read.kind == "pfifo_fast" && read.handle == .none && read.tokenBucket == nil)
  }

  @Test("A class with both rates")
  func classes() throws {
    let read = try TrafficClass(try #require(try messages(Self.htb).first))
    #expect(read.handle.description == "1:1" && read.parent == .root && read.kind == "htb")
    #expect(read.hierarchical == .init(rate: 2_500_000, ceiling: 12_500_000_000))
  }

  @Test("A filter's actions in order, with the policer's rate")
  func filters() throws {
    let read = try TrafficFilter(try #require(try messages(Self.police).first))
    #expect(read?.kind == "basic" && read?.preference == 49)
    #expect(
      read?.actions == [
        .init(kind: "gact"),
        .init(kind: "police", police: .init(rate: 1_250_000, burst: 53_166)),
      ])
  }

  @Test("A policer in the way from before there were actions")
  func oldPolice() throws {
    let old = hex(
      """
      70000000 2c00 0200 01000000 00000000
      00 00 0000 02000000 00080080 f2ffffff 00033100
      0800 0100 75333200                               ; TCA_KIND "u32"
      4400 0200                                        ; TCA_OPTIONS of
        4000 0600                                      ;   TCA_U32_POLICE of
          3c00 0100                                    ;     TCA_POLICE_TBF
            01000000 02000000 00000000 00240a00 00000100
            00 01 0000 0000 0000 d0121300
            00 00 0000 0000 0000 00000000
            01000000 01000000 00000000
      """)
    let read = try TrafficFilter(try #require(try messages(old).first))
    #expect(
      read?.actions == [.init(kind: "police", police: .init(rate: 1_250_000, burst: 53_166))])
  }

  @Test("The heading of a preference is no filter")
  func heading() throws {
    let heading = hex(
      """
      30000000 2c00 0200 01000000 00000000
      00 00 0000 02000000 00000000 f2ffffff 00033100
      0a00 0100 62617369 63 00 0000
      """)
    let read = try TrafficFilter(try #require(try messages(heading).first))
    #expect(read == nil)
  }

  @Test(
    "Rates and ticks at their ends do not trap",
    arguments: [
      (0, 0, 0), (1, .max, 274), (.max, .max, .max), (.max, 0, 0), (1_250_000, 15_625, 1250),
    ] as [(UInt64, UInt32, UInt32)])
  func amounts(rate: UInt64, ticks: UInt32, bytes: UInt32) {
    #expect(TrafficRate.bytes(at: rate, ticks: ticks) == bytes)
  }

  @Test(
    "A queue holds what the rate sends in the longest wait, and the bucket",
    arguments: [
      (1_250_000, 32_768, 25, 64_018), (0, 0, 0, 0), (.max, .max, .max, .max), (1000, 1, 1, 2),
    ] as [(UInt64, UInt32, UInt32, UInt32)])
  func limit(rate: UInt64, burst: UInt32, latency: UInt32, limit: UInt32) {
    #expect(TokenBucket(rate: rate, burst: burst, latency: latency).limit == limit)
  }

  @Test("The kernel's tick has the length that is assumed")
  func tick() throws {
    let text = String(decoding: try Files.read("/proc/net/psched"), as: UTF8.self)
    let words = text.split(separator: " ")
    #expect(words.count > 1 && UInt64(words[1], radix: 16) == TrafficRate.tick, "\(text)")
  }
}
