import Addresses
import CLinux
import Testing

@testable import Netlink

@Suite("Messages and attributes as they come in")
struct ReaderTests {
  static let link = hex(
    """
    7c000000 1000 0000 05000000 39050000   ; 124 bytes, RTM_NEWLINK, sequence 5, port 1337
    00 00 0100 02000000 43100100 00000000  ; ifinfomsg: ARPHRD_ETHER, index 2, UP|BROADCAST|RUNNING|MULTICAST|LOWER_UP
    0900 0300 65746830 00 000000           ; IFLA_IFNAME "eth0", padded
    0a00 0100 c21122334455 0000            ; IFLA_ADDRESS
    0800 0400 dc050000                     ; IFLA_MTU 1500
    0800 0500 03000000                     ; IFLA_LINK 3
    0800 2500 00000000                     ; IFLA_LINK_NETNSID 0
    0600 1400 6869 0000                    ; IFLA_IFALIAS "hi" without NUL
    2400 1200                              ; IFLA_LINKINFO of
      0c00 0100 6d6163766c616e 00          ;   IFLA_INFO_KIND "macvlan"
      1400 0200                            ;   IFLA_INFO_DATA of
        0800 0100 08000000                 ;     IFLA_MACVLAN_MODE passthru
        0800 0700 e8030000                 ;     IFLA_MACVLAN_BC_QUEUE_LEN 1000
    """)

  @Test("A macvlan link with its mode, parent and alias")
  func macvlan() throws {
    let message = try #require(try messages(ReaderTests.link).first)
    #expect(message.sequence == 5 && message.portID == 1337)
    let link = try Link(message)
    #expect(link.name == "eth0" && link.index == 2 && link.kind == "macvlan")
    #expect(link.mac == MACAddress("c2:11:22:33:44:55") && link.mtu == 1500 && link.alias == "hi")
    #expect(link.parent == 3 && link.parentNamespaceID == 0)
    #expect(link.flags.isSuperset(of: [.up, .running, .lowerUp]))
    #expect(link.macvlan == .init(mode: .passthru, broadcastQueueLength: 1000))
  }

  @Test("A VLAN link with its tag and parent")
  func vlan() throws {
    let link = try Link(
      try #require(
        try messages(
          hex(
            """
            50000000 1000 0000 05000000 39050000   ; 80 bytes, RTM_NEWLINK
            00 00 0100 07000000 02100000 00000000  ; ifinfomsg: index 7, down
            0800 0500 03000000                     ; IFLA_LINK 3
            2800 1200                              ; IFLA_LINKINFO of
              0900 0100 766c616e 00 000000         ;   IFLA_INFO_KIND "vlan"
              1800 0200                            ;   IFLA_INFO_DATA of
                0600 0500 8100 0000                ;     IFLA_VLAN_PROTOCOL 802.1Q
                0600 0100 ff0f 0000                ;     IFLA_VLAN_ID 4095
                0400 0200                          ;     something else, empty
            """)
        ).first))
    #expect(link.kind == "vlan" && link.vlanID == 4095 && link.parent == 3)
    #expect(link.macvlan == nil && link.parentNamespaceID == nil)
  }

  @Test("IPv4 and IPv6 addresses, peers, and flags beyond the header's eight")
  func addresses() throws {
    let read = try messages(
      hex(
        """
        34000000 1400 0200 01000000 00000000 ; RTM_NEWADDR
        02 18 80 00 02000000                 ; AF_INET, /24, permanent, index 2
        0800 0100 0a010203                   ; IFA_ADDRESS
        0800 0200 0a010203                   ; IFA_LOCAL
        0800 0400 0a0102ff                   ; IFA_BROADCAST
        0300 0900                            ; damaged: length below the header
        """)
    ).map { message in try? InterfaceAddress(message) }
    #expect(read == [nil], "a damaged attribute is an error")

    let peer = try InterfaceAddress(
      try #require(
        try messages(
          hex(
            """
            30000000 1400 0000 01000000 00000000
            02 20 80 00 07000000
            0800 0100 0a000001                   ; IFA_ADDRESS: the other end
            0800 0200 0a000002                   ; IFA_LOCAL
            0800 0800 80020000                   ; IFA_FLAGS permanent|noprefixroute
            """)
        ).first))
    #expect(peer?.network == IPNetwork("10.0.0.2/32") && peer?.peer == IPAddress("10.0.0.1"))
    #expect(peer?.flags.rawValue == 0x280)
  }

  @Test("A route with several ways")
  func multipath() throws {
    let message = try #require(
      try messages(
        hex(
          """
          4c000000 1800 0200 01000000 00000000
          02 00 00 00 fe 03 00 01 00000000     ; default route of table main
          0800 0f00 e8030000                   ; RTA_TABLE 1000 is more than the header's byte
          2400 0900                            ; RTA_MULTIPATH of
            1000 00 00 02000000                ;   next hop on 2, weight 1
              0800 0500 0a000001               ;     RTA_GATEWAY
            1000 00 04 03000000                ;   next hop on 3, weight 5
              0800 0500 0a000002
          0400 0800                            ; RTA_METRICS, empty
          """)
      ).first)
    let route = try #require(try Route(message))
    #expect(route.isDefault && route.table == 1000)
    #expect(
      route.nextHops == [
        .init(index: 2, gateway: IPAddress("10.0.0.1"), weight: 1),
        .init(index: 3, gateway: IPAddress("10.0.0.2"), weight: 5),
      ])
  }

  @Test("A refusal with the kernel's words, with the whole request and with its header only")
  func refusal() throws {
    // NLMSGERR_ATTR_MSG "not that way"
    let words = "1100 0100 6e6f7420 74686174 20776179 00 000000"
    let capped = try messages(
      hex(
        """
        38000000 0200 0003 03000000 00000000 ; NLMSG_ERROR, CAPPED|ACK_TLVS
        eaffffff                             ; -22
        20000000 1000 0506 03000000 00000000 ; the request's header, which speaks of 32 bytes
        \(words)
        """))
    let whole = try messages(
      hex(
        """
        48000000 0200 0002 03000000 00000000 ; ACK_TLVS
        eaffffff
        20000000 1000 0506 03000000 00000000
        00000000 00000000 00000000 00000000  ; the rest of the request
        \(words)
        """))
    for message in capped + whole {
      let refusal = try Acknowledgement(message)
      #expect(refusal.errorNumber == EINVAL && refusal.message == "not that way")
    }
  }

  @Test(
    "Damaged words never hide the error number",
    arguments: ["", "0000 0100", "ffff 0100 61", "0300 0100", "04", "20000000 1000 0506"])
  func damagedWords(text: String) throws {
    let payload = hex("eaffffff 20000000 1000 0506 03000000 00000000 \(text)")
    for flags in [NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED] {
      let message = NetlinkMessage(
        type: Int(NLMSG_ERROR), flags: flags, sequence: 1, portID: 0, payload: payload[...])
      let refusal = try Acknowledgement(message)
      #expect(refusal.errorNumber == EINVAL && refusal.message.isEmpty)
    }
  }

  @Test(
    "A length below the header's or past the end ends the reading with an error",
    arguments: [
      "00000000 0200 0000 00000000 00000000", "0f000000 0200 0000 00000000 00000000",
      "11000000 0200 0000 00000000 00000000", "ffffffff 0200 0000 00000000 00000000",
      "10000000 0200", "10000000 0300 0000 00000000 00000000 01",
    ])
  func messageLengths(text: String) {
    #expect(throws: WireError.self) { try messages(hex(text)) }
  }

  @Test(
    "The same for attributes",
    arguments: ["0000 0100", "0300 0100", "0500 0100", "ffff 0100 00000000", "0400 0100 0100 0100"])
  func attributeLengths(text: String) {
    #expect(throws: WireError.self) { try attributes(hex(text)[...]) }
  }

  @Test("Up to three bytes after the last attribute are padding", arguments: ["", "00", "000102"])
  func padding(text: String) throws {
    let found = try attributes(hex("0500 0180 07 000000 0600 0240 0102 \(text)")[...])
    // The flag bits for "nested" and "network byte order" are not part of the type.
    #expect(found.map(\.type) == [1, 2])
    #expect(found.map { Array($0.value) } == [[7], [1, 2]])
  }

  @Test("A reader that met an error stays at its end")
  func errorIsFinal() throws {
    var reader = AttributeReader(hex("0000 0100 0400 0200")[...])
    #expect(throws: WireError.self) { _ = try reader.next() }
    let further = try reader.next()
    #expect(further?.type == nil)
  }
}
