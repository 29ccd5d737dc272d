import Linux
import TestSupport

@testable import OVSDB

/// A real ovsdb-server with one row in `Open_vSwitch`, and clients of it.
final class ServerFixture: Sendable {
  let server: OVSDBServer
  let root: OVSDBUUID

  /// What the clients of the tests watch.
  static let watched = [
    "Open_vSwitch": ["bridges", "external_ids", "cur_cfg", "next_cfg"],
    "Bridge": ["name", "ports", "external_ids", "datapath_type"],
    "Port": ["name", "interfaces", "tag", "trunks", "external_ids"],
    "Interface": ["name", "type", "mtu_request", "error", "options", "no such column"],
    "No such table": ["name"],
  ]

  init(remotes: [String] = [], in network: TestNamespace? = nil) async throws {
    server = try await OVSDBServer(
      in: network, directory: TemporaryDirectory(), remotes: remotes)
    let client = try OVSDBClient(
      OVSDBAddress(parsing: server.address), database: "Open_vSwitch", monitoring: [:],
      time: .patient, log: { _ in })
    root = try await onThread { () throws(OVSDBError) in
      let results = try client.transact(
        [.insert(into: "Open_vSwitch", [:])], deadline: soon)
      return results.first?.uuid ?? .zero
    }
    client.close()
  }

  func client(
    _ address: String? = nil, time: ConnectionTime = .patient,
    log: @escaping @Sendable (OVSDBEvent) -> Void = { _ in }
  ) throws -> OVSDBClient {
    try OVSDBClient(
      OVSDBAddress(parsing: address ?? server.address), database: "Open_vSwitch",
      monitoring: Self.watched, time: time, log: log)
  }

  /// Adds a bridge with as many ports as there are names.
  func bridge(_ name: String, ports: [String]) -> [OVSDBOperation] {
    var operations: [OVSDBOperation] = []
    for (index, port) in ports.enumerated() {
      operations += [
        .insert(into: "Interface", ["name": .string(port)], named: "i\(index)"),
        .insert(
          into: "Port", ["name": .string(port), "interfaces": .named("i\(index)")],
          named: "p\(index)"),
      ]
    }
    let set = OVSDBValue.set(ports.indices.map { .named("p\($0)") })
    operations += [
      .insert(into: "Bridge", ["name": .string(name), "ports": set], named: "b"),
      .mutate(
        "Open_vSwitch", where: [.row(root)],
        [OVSDBMutation("bridges", .insert, .set([.named("b")]))]),
    ]
    return operations
  }
}

extension ConnectionTime {
  /// For a busy machine: nothing is given up because the machine is slow.
  static var patient: ConnectionTime {
    var time = ConnectionTime()
    time.silence *= UInt64(Program.patience)
    time.patience = 60_000_000_000 * UInt64(Program.patience)
    time.tryMilliseconds *= Program.patience
    return time
  }

  /// A silence, in milliseconds, instead of the usual one.
  static func silence(milliseconds: Int) -> ConnectionTime {
    var time = patient
    time.silence = UInt64(milliseconds) * 1_000_000
    return time
  }
}
