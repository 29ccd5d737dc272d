import Linux
import OVSDB
import TestSupport

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
      OVSDBAddress(parsing: server.address), database: "Open_vSwitch")
    root = try await onThread { () throws(OVSDBError) in
      let results = try client.transact(
        [.insert(into: "Open_vSwitch", [:])], deadline: .after(seconds: 10))
      return results.first?.uuid ?? .zero
    }
    client.close()
  }

  func client(
    _ address: String? = nil, log: @escaping @Sendable (OVSDBEvent) -> Void = { _ in }
  ) throws -> OVSDBClient {
    try OVSDBClient(
      OVSDBAddress(parsing: address ?? server.address), database: "Open_vSwitch",
      monitoring: Self.watched, log: log)
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

/// Ten seconds, longer with a sanitizer.
var soon: Deadline { .after(seconds: 10 * Program.patience) }

/// What a call gave, for an expectation.
func outcome<Value: Sendable>(
  _ body: @escaping @Sendable () throws(OVSDBError) -> Value
) async -> Result<Value, OVSDBError> {
  await onThread {
    do throws(OVSDBError) {
      return .success(try body())
    } catch {
      return .failure(error)
    }
  }
}

extension Result where Failure == OVSDBError {
  var error: OVSDBError? { if case .failure(let error) = self { error } else { nil } }
  var value: Success? { try? get() }
}
