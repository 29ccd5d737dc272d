import Linux
import Netlink

/// All that a node holds; two of them tell what was left behind between.
public struct Snapshot: Equatable, Sendable, CustomStringConvertible {
  /// Links of the node and of the pods looked at, `namespace/name`.
  public var links: [String] = []
  /// Routes of both families, `namespace: route`.
  public var routes: [String] = []
  /// Ids of namespaces that live although no test has them: somebody else holds them open.
  public var namespaces: [String] = []
  /// Files of leases, without host-local's `lock` and `last_reserved_ip.*`.
  public var leases: [String] = []
  /// Files of the daemon's state directory, without its lock.
  public var records: [String] = []
  /// Files in the socket directory.
  public var sockets: [String] = []
  /// The daemon's open descriptors.
  public var descriptors = 0
  /// The daemon's threads.
  public var threads = 0

  /// What differs, a line each; empty if nothing does.
  ///
  /// - Parameters:
  ///   - before: the earlier one.
  ///   - after: the later one.
  ///   - process: whether the daemon's descriptors and threads count; its first calls start
  ///     threads that stay.
  /// - Returns: what was left, what has gone, what has grown.
  public static func difference(
    _ before: Snapshot, _ after: Snapshot, process: Bool
  ) -> [String] {
    let lists: [(String, [String], [String])] = [
      ("link", before.links, after.links), ("route", before.routes, after.routes),
      ("namespace", before.namespaces, after.namespaces),
      ("lease", before.leases, after.leases), ("record", before.records, after.records),
      ("socket", before.sockets, after.sockets),
    ]
    var lines: [String] = []
    for (what, old, new) in lists {
      lines += new.filter { !old.contains($0) }.map { "\(what) left: \($0)" }
      // The kernel ends a namespace late: one of an earlier test may be gone only now.
      if what == "namespace" { continue }
      lines += old.filter { !new.contains($0) }.map { "\(what) gone: \($0)" }
    }
    if process, after.descriptors > before.descriptors {
      lines.append("descriptors: \(before.descriptors) -> \(after.descriptors)")
    }
    // Up to four workers stay idle.
    if process, after.threads > before.threads + 4 {
      lines.append("threads: \(before.threads) -> \(after.threads)")
    }
    return lines
  }

  /// Everything, for a failed expectation.
  public var description: String {
    "links \(links), routes \(routes), namespaces \(namespaces), leases \(leases), "
      + "records \(records), \(descriptors) descriptors, \(threads) threads"
  }
}

extension TestNode {
  /// Looks at everything that the node and some pods hold.
  public func snapshot(_ pods: [TestPod] = []) async throws -> Snapshot {
    var snapshot = Snapshot()
    let places = [("node", network)] + pods.map { ($0.containerID, $0.network) }
    for (name, place) in places {
      snapshot.links += try await place.links().map { "\(name)/\($0)" }
      for family in ["-4", "-6"] {
        // Link-local routes come and go with the kernel's own address detection.
        snapshot.routes += try await place.routes(family).filter { !$0.hasPrefix("fe80::") }
          .map { "\(name): \($0)" }
      }
    }
    snapshot.namespaces = try await heldNamespaces()
    snapshot.leases = leases
    snapshot.records = TemporaryDirectory.files(below: stateDirectory).filter { $0 != "lock" }
    snapshot.sockets = TemporaryDirectory.files(below: socketDirectory)
    if let usage = daemon?.usage {
      snapshot.descriptors = usage.descriptors
      snapshot.threads = usage.threads
    }
    return snapshot
  }

  /// Ids that the node has for namespaces without those that tests have open themselves.
  private func heldNamespaces() async throws -> [String] {
    try await network.run {
      var socket = try NetlinkSocket()
      let deadline = Deadline.after(seconds: 10)
      // A namespace that begins between the two questions is in the second answer only.
      let all = try socket.namespaceIDs(deadline: deadline)
      let open = try TestNamespace.ids(&socket, deadline: deadline)
      return all.filter { !open.contains($0) }.sorted().map { "nsid \($0)" }
    }
  }

  /// The leases of host-local, `network/address`.
  public var leases: [String] {
    TemporaryDirectory.files(below: dataDirectory).filter {
      let name = $0.split(separator: "/").last ?? ""
      return name != "lock" && !name.hasPrefix("last_reserved_ip.")
    }
  }

  /// The records and leases that the daemon has open: a second after they were written it sends
  /// them to the disk, which may take long.
  public var openRecords: [String] {
    (daemon?.openFiles ?? []).filter {
      $0.hasPrefix("\(stateDirectory)/attachments") || $0.hasPrefix(dataDirectory)
    }.sorted()
  }

  /// The daemon's records of attachments, one file name each.
  public var records: [String] {
    // A file that is renamed while its directory is read may be missing from the list; it
    // is renamed once.
    let lists = (0..<2).map { _ in
      TemporaryDirectory.files(below: "\(stateDirectory)/attachments")
    }
    return Set(lists.joined()).sorted()
  }

  /// Waits until what differs from an earlier snapshot is gone: idle workers and the kernel's own
  /// cleaning take a moment.
  ///
  /// - Parameters:
  ///   - before: the earlier snapshot.
  ///   - pods: whose namespaces are looked at too.
  ///   - process: whether the daemon's descriptors and threads count.
  ///   - milliseconds: how long to wait.
  /// - Returns: what is still different at the end.
  /// - Throws: when something could not be looked at.
  public func leftovers(
    since before: Snapshot, _ pods: [TestPod] = [], process: Bool = false,
    within milliseconds: Int = patience
  ) async throws -> [String] {
    try await settled(within: milliseconds) {
      Snapshot.difference(before, try await snapshot(pods), process: process)
    }
  }
}
