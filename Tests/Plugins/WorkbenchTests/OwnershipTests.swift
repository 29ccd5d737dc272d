import Addresses
import CNI
import Linux
import Netlink
import PluginKit
import Testing
import TestSupport
import Workbench

/// What a link and a record may say, and whose the link is.
struct OwnershipCase: Sendable, CustomTestStringConvertible {
  enum Alias: String, CaseIterable, Sendable { case ours, anothers, peoples, none }
  enum Record: String, CaseIterable, Sendable { case missing, here, elsewhere, noNamespace }

  let alias: Alias
  let isRightKind: Bool
  let isPlannedMAC: Bool
  let record: Record
  let unrecorded: LinkOwnership.Unrecorded

  static let all = Alias.allCases.flatMap { alias in
    [true, false].flatMap { kind in
      [true, false].flatMap { mac in
        Record.allCases.flatMap { record in
          [LinkOwnership.Unrecorded.others, .reference].map { unrecorded in
            OwnershipCase(
              alias: alias, isRightKind: kind, isPlannedMAC: mac, record: record,
              unrecorded: unrecorded)
          }
        }
      }
    }
  }

  /// The few that are ours, in the order of the rule.
  var isOurs: Bool {
    switch (alias, isRightKind, record) {
    case (.ours, _, _): true
    case (.anothers, _, _), (_, false, _): false
    case (_, true, .here): isPlannedMAC
    case (_, true, .missing): unrecorded == .reference
    default: false
    }
  }

  var testDescription: String {
    "\(alias) kind=\(isRightKind) mac=\(isPlannedMAC) record=\(record) else=\(unrecorded)"
  }
}

@Suite("Workbench: whose a link is")
struct OwnershipTests {
  @Test("Mark, kind, address, record and namespace decide together")
  func table() async throws {
    let bench = try await Bench()
    try await bench.pod.ip("link add eth0 address 02:00:00:00:00:01 type veth peer name far")
    let link = try await bench.pod.described("eth0")
    for row in OwnershipCase.all {
      var seen = link.link
      seen.alias =
        switch row.alias {
        case .ours: "cnid:box/eth0"
        case .anothers: "cnid:other/eth0"
        case .peoples: "do not touch"
        case .none: ""
        }
      let request = try bench.request()
      var record = bench.record(request)
      record.plan = [
        PlannedLink(
          request.ifName, try #require(MACAddress("02:00:00:00:00:0\(row.isPlannedMAC ? 1 : 2)"))
        ).planned
      ]
      switch row.record {
      case .here: record.namespace = NamespaceIdentity(cookie: link.cookie)
      case .elsewhere: record.namespace = NamespaceIdentity(cookie: link.cookie + 1)
      case .missing, .noNamespace: break
      }
      let call = bench.call(request, row.record == .missing ? nil : record)
      let ownership = LinkOwnership(
        of: call, kind: row.isRightKind ? "veth" : "macvlan", unrecorded: row.unrecorded)
      #expect(ownership.owns(seen, link.cookie) == row.isOurs, "\(row.testDescription)")
    }
  }

  @Test("The address that an UPDATE gave the link counts as the plan's")
  func updated() async throws {
    let bench = try await Bench()
    try await bench.pod.ip("link add eth0 address 02:00:00:00:00:09 type veth peer name far")
    let (link, cookie) = try await bench.pod.described("eth0")
    let request = try bench.request()
    var record = bench.record(request)
    record.namespace = NamespaceIdentity(cookie: cookie)
    let mac = try #require(MACAddress("02:00:00:00:00:09"))
    record.result = CNIResult(interfaces: [request.interface(mac)])
    let ownership = LinkOwnership(
      of: bench.call(request, record), kind: "veth", unrecorded: .others)
    #expect(ownership.owns(link, cookie))
  }

  @Test("A link of the node needs no namespace in the plan")
  func anywhere() async throws {
    let bench = try await Bench()
    try await bench.node.ip("link add tap0 address 02:00:00:00:00:01 type veth peer name far")
    let (link, cookie) = try await bench.node.described("tap0")
    let mark = try bench.request().mark
    func owns(_ addresses: [String]) -> Bool {
      LinkOwnership(
        mark: mark, kind: "veth", plan: .init(addresses.compactMap { MACAddress($0) }),
        unrecorded: .reference
      ).owns(link, cookie)
    }
    #expect(owns(["02:00:00:00:00:01"]))
    #expect(!owns(["02:00:00:00:00:02"]))
    #expect(!owns([]))
  }

  @Test(
    "Removing takes the attachment's link and no other, by path and by mark",
    arguments: [
      ("cnid:box/eth0", true, true), ("cnid:box/eth0", false, true),
      ("cnid:other/eth0", true, false), ("cnid:other/eth0", false, false),
    ])
  func removal(alias: String, hasPath: Bool, isGone: Bool) async throws {
    let bench = try await Bench()
    try await bench.pod.ip(
      "link add eth0 type veth peer name far", "link set eth0 alias \(alias)")
    let request = try bench.request(netns: hasPath ? nil : "/nowhere")
    var record = bench.record(request)
    let path = bench.pod.path
    record.namespace = try await bench.node.run {
      var node = try NetlinkSocket()
      let namespace = try NetworkNamespace(path: path)
      return try NamespaceIdentity(
        of: namespace, cookie: namespace.cookie(), &node, deadline: .after(seconds: 10))
    }
    let call = bench.call(request, record)
    try await bench.node.run {
      try call.journal.perform(.deleteLink) { permit throws(CNIError) in
        let ownership = LinkOwnership(of: call, kind: "veth", unrecorded: .others)
        try call.removePodLink(ownedBy: ownership, permit)
      }
    }
    #expect(try await bench.pod.links().isEmpty == isGone)
  }
}
