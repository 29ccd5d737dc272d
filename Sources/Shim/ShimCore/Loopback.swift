import Addresses
import CNI
import JSON
import Linux

/// The plugin `loopback`: sets the link `lo` of a pod's network namespace up and down.
///
/// Runtimes call it for every pod, beside the pod's networks, so it asks no daemon and leaves
/// nothing behind. It does what the reference plugin does, with its texts.
struct Loopback {
  /// The name under which the shim is this plugin.
  static let name = "loopback"

  private static let link = "lo"

  /// CNI_NETNS.
  let netns: String
  /// When the call must be over.
  let deadline: Deadline

  /// ADD: sets the link up.
  ///
  /// - Returns: the link with its first address of each family.
  /// - Throws: code 5 for a namespace that cannot be opened, 100 for what the kernel refuses, 999
  ///   for an address that is none of the machine's own.
  func add() throws(CNIError) -> CNIResult {
    let namespace = try open()
    let addresses: [IPNetwork]
    do throws(SystemError) {
      var link = try enter(namespace)
      try link.set(up: true)
      addresses = try link.addresses()
    } catch {
      throw failure(error, .kernel, "cannot set \(Self.link) up in \(goQuoted(netns))")
    }
    if let foreign = addresses.first(where: { !$0.address.isLoopback }) {
      throw CNIError(
        .internal,
        "loopback interface found with non-loopback address \"\(foreign.address)\"")
    }
    let firsts = [IPAddress.Family.v4, .v6].compactMap { family in
      addresses.first { $0.family == family }
    }
    return CNIResult(
      interfaces: [.init(name: Self.link, mac: "00:00:00:00:00:00", sandbox: netns)],
      ips: firsts.map { CNIResult.IP(interface: 0, address: $0) })
  }

  /// DEL: sets the link down; a namespace that is gone took it along.
  ///
  /// - Throws: code 5 or 100 as for `add`.
  func delete() throws(CNIError) {
    guard !netns.isEmpty else { return }
    let namespace: NetworkNamespace
    do throws(SystemError) {
      namespace = try NetworkNamespace(path: netns)
    } catch {
      if error.isGoneNamespace { return }
      throw unopened(error)
    }
    do throws(SystemError) {
      var link = try enter(namespace)
      try link.set(up: false)
    } catch {
      throw failure(error, .kernel, "cannot set \(Self.link) down in \(goQuoted(netns))")
    }
  }

  /// CHECK: the link must be up and have the addresses that ADD's result gave it.
  ///
  /// - Throws: code 5 or 100 as for `add`, 999 for a link that is not so.
  func check(_ result: CNIResult?) throws(CNIError) {
    let namespace = try open()
    let isUp: Bool
    let addresses: [IPNetwork]
    do throws(SystemError) {
      var link = try enter(namespace)
      isUp = try link.isUp()
      addresses = try link.addresses()
    } catch {
      throw failure(error, .kernel, "cannot look at \(Self.link) in \(goQuoted(netns))")
    }
    guard isUp else { throw CNIError(.internal, "loopback interface is down") }
    guard let result else { return }
    for ip in result.ips where !addresses.contains(ip.address) {
      guard let interface = result.interface(of: ip), sameBytes(interface.name, Self.link) else {
        continue
      }
      throw CNIError(.internal, "loopback interface lacks the address \(ip.address)")
    }
  }

  private func open() throws(CNIError) -> NetworkNamespace {
    do throws(SystemError) {
      return try NetworkNamespace(path: netns)
    } catch {
      throw unopened(error)
    }
  }

  /// The process, which has one thread and ends with the call, stays in the namespace.
  private func enter(
    _ namespace: borrowing NetworkNamespace
  ) throws(SystemError) -> LoopbackLink {
    try namespace.enter()
    return try LoopbackLink(deadline: deadline)
  }

  private func unopened(_ error: SystemError) -> CNIError {
    failure(error, .ioFailure, "failed to open netns \(goQuoted(netns))")
  }

  private func failure(
    _ error: SystemError, _ code: CNIErrorCode, _ message: String
  ) -> CNIError {
    let isLate = error.errno == .timedOut
    let own = isLate ? .deadline : error.errno.isExhaustion ? .tryAgainLater : code
    return CNIError(own, message, details: error.description)
  }
}

extension Shim {
  /// Does a call as the plugin `loopback`.
  ///
  /// - Returns: what is printed: ADD's result, which is the configuration's `prevResult` if it has
  ///   one.
  mutating func runLoopback(
    _ command: CNICommand, _ version: CNIVersion, _ input: [UInt8]
  ) throws(CNIError) -> [UInt8] {
    let loopback = Loopback(
      netns: environment["CNI_NETNS"],
      deadline: begun.deadline(seconds: configuration.daemonTimeout))
    switch command {
    case .add, .update:
      try refuseOwnNamespace()
      let previous = try previous(in: input, version)
      let own = try loopback.add()
      if let previous { return previous.printed }
      return try own.printed(as: version)
    case .delete:
      try refuseOwnNamespace()
      try loopback.delete()
    case .check: try loopback.check(try previous(in: input, version)?.result)
    // STATUS and GC: it is always ready, and keeps nothing.
    default: break
    }
    return []
  }

  /// The configuration's `prevResult`, and how it is printed.
  ///
  /// - Throws: code 6 or 1, `could not parse prevResult: …`.
  private func previous(
    in input: [UInt8], _ version: CNIVersion
  ) throws(CNIError) -> (result: CNIResult, printed: [UInt8])? {
    let reader = try MemberReader(
      parsing: input, .configuration, keys: NetworkConfiguration.keys)
    guard let object = try reader.object("prevResult") else { return nil }
    let value = JSONValue.object(object)
    do throws(CNIError) {
      let result = try CNIResult(value, defaultVersion: version)
      let printed =
        isOfVersion(value, version)
        ? value.encoded(.indented()) : try result.printed(as: version)
      return (result, printed)
    } catch {
      throw error.prefixed(by: "could not parse prevResult: ")
    }
  }
}
