import Addresses
import CLinux
import Linux
import Testing

@testable import Netlink

@Suite("Requests, byte by byte (x86-64 order)")
struct MessageBuilderTests {
  @Test("One message makes a macvlan link with name, address, MTU, mode and namespace")
  func macvlan() throws {
    let link = NewLink(
      name: "eth0", kind: .macvlan(parent: 3, mode: .bridge, broadcastQueueLength: 500),
      mac: MACAddress("c2:11:22:33:44:55"), mtu: 1400, namespace: 9)
    let bytes = try NetlinkChange.createLink(link).finished(sequence: 7)
    let expected = hex(
      """
      74000000 1000 0506 07000000 00000000   ; 116 bytes, RTM_NEWLINK, REQUEST|ACK|EXCL|CREATE, sequence 7
      00 00 0000 00000000 00000000 00000000  ; ifinfomsg: any family, no index, no flags
      0900 0300 65746830 00 000000           ; IFLA_IFNAME "eth0", padded
      0a00 0100 c21122334455 0000            ; IFLA_ADDRESS, padded
      0800 0400 78050000                     ; IFLA_MTU 1400
      0800 1c00 09000000                     ; IFLA_NET_NS_FD 9
      0800 0500 03000000                     ; IFLA_LINK 3
      2400 1200                              ; IFLA_LINKINFO of
        0c00 0100 6d6163766c616e 00          ;   IFLA_INFO_KIND "macvlan"
        1400 0200                            ;   IFLA_INFO_DATA of
          0800 0100 04000000                 ;     IFLA_MACVLAN_MODE bridge
          0800 0700 f4010000                 ;     IFLA_MACVLAN_BC_QUEUE_LEN 500
      """)
    #expect(bytes == expected, "\(dump(bytes))")
  }

  @Test("One message makes a VLAN link with name, MTU, parent and tag")
  func vlan() throws {
    let link = NewLink(name: "vlaneth0-5f0c7a", kind: .vlan(parent: 3, id: 101), mtu: 1450)
    let bytes = try NetlinkChange.createLink(link).finished(sequence: 7)
    let expected = hex(
      """
      60000000 1000 0506 07000000 00000000   ; 96 bytes, RTM_NEWLINK, REQUEST|ACK|EXCL|CREATE, sequence 7
      00 00 0000 00000000 00000000 00000000  ; ifinfomsg: any family, no index, no flags
      1400 0300 766c616e657468302d35663063376100 ; IFLA_IFNAME "vlaneth0-5f0c7a"
      0800 0400 aa050000                     ; IFLA_MTU 1450
      0800 0500 03000000                     ; IFLA_LINK 3
      1c00 1200                              ; IFLA_LINKINFO of
        0900 0100 766c616e 00 000000         ;   IFLA_INFO_KIND "vlan"
        0c00 0200                            ;   IFLA_INFO_DATA of
          0600 0100 6500 0000                ;     IFLA_VLAN_ID 101
      """)
    #expect(bytes == expected, "\(dump(bytes))")
  }

  @Test("A veth link carries its other end inside")
  func veth() throws {
    let peer = NewLink.Peer(name: "b", mtu: 1400, namespace: 5)
    let link = NewLink(name: "a", kind: .veth(peer: peer))
    let bytes = try NetlinkChange.createLink(link).finished(sequence: 1)
    let expected = hex(
      """
      68000000 1000 0506 01000000 00000000
      00 00 0000 00000000 00000000 00000000
      0600 0300 6100 0000                    ; IFLA_IFNAME "a"
      4000 1200                              ; IFLA_LINKINFO of
        0900 0100 76657468 00 000000         ;   IFLA_INFO_KIND "veth"
        3000 0200                            ;   IFLA_INFO_DATA of
          2c00 0100                          ;     VETH_INFO_PEER of
            00000000 00000000 00000000 00000000 ;    ifinfomsg
            0600 0300 6200 0000              ;       IFLA_IFNAME "b"
            0800 0400 78050000               ;       IFLA_MTU 1400
            0800 1c00 05000000               ;       IFLA_NET_NS_FD 5
      """)
    #expect(bytes == expected, "\(dump(bytes))")
  }

  @Test("Alias, state and arp_notify travel in one change")
  func change() throws {
    var settings = LinkSettings()
    settings.alias = "cnid:x/y"
    settings.isUp = true
    settings.ipv4 = [(.arpNotify, 1)]
    let bytes = try NetlinkChange.changeLink(index: 2, settings).finished(sequence: 0x0102_0304)
    let expected = hex(
      """
      40000000 1000 0500 04030201 00000000   ; 64 bytes, RTM_NEWLINK, REQUEST|ACK
      00 00 0000 02000000 01000000 01000000  ; ifinfomsg: index 2, flags IFF_UP, change IFF_UP
      0c00 1400 636e69643a782f79             ; IFLA_IFALIAS, without NUL
      1400 1a00                              ; IFLA_AF_SPEC of
        1000 0200                            ;   AF_INET of
          0c00 0100                          ;     IFLA_INET_CONF of
            0800 1600 01000000               ;       IPV4_DEVCONF_ARP_NOTIFY 1
      """)
    #expect(bytes == expected, "\(dump(bytes))")
  }

  @Test("Addresses of both families")
  func addresses() throws {
    let four = try #require(IPNetwork("10.1.2.3/24"))
    #expect(
      try NetlinkChange.addAddress(.init(index: 2, network: four)).finished(sequence: 1)
        == hex(
          """
          30000000 1400 0506 01000000 00000000 ; RTM_NEWADDR
          02 18 00 00 02000000                 ; ifaddrmsg: AF_INET, /24, index 2
          0800 0200 0a010203                   ; IFA_LOCAL
          0800 0100 0a010203                   ; IFA_ADDRESS
          0800 0400 0a0102ff                   ; IFA_BROADCAST
          """))
    let six = try #require(IPNetwork("2001:db8::2/64"))
    let skipping = InterfaceAddress(index: 2, network: six, flags: .noDAD)
    #expect(
      try NetlinkChange.addAddress(skipping).finished(sequence: 1)
        == hex(
          """
          48000000 1400 0506 01000000 00000000
          0a 40 00 00 02000000                 ; AF_INET6, /64
          1400 0200 20010db8000000000000000000000002
          1400 0100 20010db8000000000000000000000002
          0800 0800 02000000                   ; IFA_FLAGS IFA_F_NODAD
          """))
  }

  @Test("A route with every member")
  func route() throws {
    var route = Route(
      to: try #require(IPNetwork("15.5.6.7/24")), via: IPAddress("10.1.2.1"), index: 2)
    route.mtu = 1400
    route.advertisedMSS = 1360
    route.priority = 100
    route.table = 1000
    route.scope = 0
    route.source = IPAddress("10.1.2.3")
    route.isOnLink = true
    let bytes = try NetlinkChange.addRoute(route).finished(sequence: 1)
    let expected = hex(
      """
      60000000 1800 050c 01000000 00000000   ; RTM_NEWROUTE, REQUEST|ACK|CREATE|APPEND
      02 18 00 00 00 03 00 01 04000000       ; rtmsg: AF_INET, /24, no table, boot, universe, unicast, RTNH_F_ONLINK
      0800 0f00 e8030000                     ; RTA_TABLE 1000
      0800 0100 0f050600                     ; RTA_DST 15.5.6.0
      0800 0500 0a010201                     ; RTA_GATEWAY
      0800 0400 02000000                     ; RTA_OIF
      0800 0700 0a010203                     ; RTA_PREFSRC
      0800 0600 64000000                     ; RTA_PRIORITY 100
      1400 0800                              ; RTA_METRICS of
        0800 0200 78050000                   ;   RTAX_MTU 1400
        0800 0800 50050000                   ;   RTAX_ADVMSS 1360
      """)
    #expect(bytes == expected, "\(dump(bytes))")
  }

  @Test("A token bucket, its rate in 32 bits and, from 2^32 on, in 64")
  func tokenBucket() throws {
    let bucket = TokenBucket(rate: 1_250_000, burst: 32_768, latency: 25)
    let bytes = try NetlinkChange.setTokenBucket(index: 2, bucket).finished(sequence: 1)
    let expected = hex(
      """
      60000000 2400 0505 01000000 00000000   ; RTM_NEWQDISC, REQUEST|ACK|REPLACE|CREATE
      00 00 0000 02000000 00000000 ffffffff 00000000 ; tcmsg: index 2, any handle, parent root
      0800 0100 74626600                     ; TCA_KIND "tbf"
      3400 0200                              ; TCA_OPTIONS of
        2800 0100                            ;   TCA_TBF_PARMS, a tc_tbf_qopt of
          00 01 0000 0000 0000 d0121300      ;     rate: linklayer Ethernet, 1250000 bytes/s
          00 00 0000 0000 0000 00000000      ;     no peak rate
          12fa0000 00000000 00000000         ;     limit 64018 bytes, no buffer in ticks, no mtu
        0800 0600 00800000                   ;   TCA_TBF_BURST 32768
      """)
    #expect(bytes == expected, "\(dump(bytes))")

    let fast = TokenBucket(rate: 1 << 32, burst: 1 << 20, limit: 1 << 21)
    let wide = try NetlinkChange.setTokenBucket(index: 2, fast).finished(sequence: 1)
    let rest = hex(
      """
      0800 0600 00001000                     ; TCA_TBF_BURST 2^20
      0c00 0400 0000000001000000             ; TCA_TBF_RATE64 2^32
      """)
    #expect(wide.suffix(rest.count) == rest[...], "\(dump(wide))")
    #expect(wide[60..<64] == [0xFF, 0xFF, 0xFF, 0xFF], "\(dump(wide))")
  }

  @Test("A queue is removed, of whatever kind or of one kind only")
  func removedQueue() throws {
    #expect(
      try NetlinkChange.removeRootQueue(index: 2).finished(sequence: 1)
        == hex(
          """
          24000000 2500 0500 01000000 00000000 ; RTM_DELQDISC, REQUEST|ACK
          00 00 0000 02000000 00000000 ffffffff 00000000
          """))
    #expect(
      try NetlinkChange.removeRootQueue(index: 2, kind: "tbf").finished(sequence: 1)
        == hex(
          """
          2c000000 2500 0500 01000000 00000000
          00 00 0000 02000000 00000000 ffffffff 00000000
          0800 0100 74626600                   ; TCA_KIND "tbf"
          """))
  }

  @Test("A value that does not fit is an error of the whole message, and no trap")
  func tooLong() throws {
    var settings = LinkSettings()
    settings.alias = String(repeating: "x", count: 70_000)
    let change = NetlinkChange.changeLink(index: 2, name: "eth0", settings)
    #expect {
      _ = try change.finished(sequence: 1)
    } throws: { error in
      (error as? NetlinkError)?.errno == .messageSize
    }
  }

  @Test("The largest attribute fits", arguments: [65_530, 65_531])
  func largest(count: Int) {
    var message = MessageBuilder(type: Int(RTM_NEWLINK))
    message.attribute(1, bytes: [UInt8](repeating: 0, count: count))
    #expect(!message.isTooLong)
    message.attribute(1, bytes: [UInt8](repeating: 0, count: 65_532))
    #expect(message.isTooLong)
  }
}
