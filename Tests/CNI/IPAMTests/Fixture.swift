import Addresses
import CNI
import IPAM
import JSON
@_spi(Journal) import Linux
import TestSupport

/// A data directory of a test's own, and calls that use it.
final class Leases: Sendable {
  /// Where the networks' directories are.
  let directory: TemporaryDirectory
  /// What this "process" remembers.
  let cache: LeaseCache

  init(_ directory: TemporaryDirectory? = nil, cache: LeaseCache = LeaseCache()) throws {
    self.directory = try directory ?? TemporaryDirectory()
    self.cache = cache
  }

  /// Another process on the same files: it remembers nothing of this one.
  func otherProcess() throws -> Leases { try Leases(directory) }

  /// A network configuration with host-local in this directory, its members given as JSON.
  func configuration(
    _ ipam: String, more: String = "{}", version: String = "1.1.0"
  ) throws -> NetworkConfiguration {
    var inner = JSONValue(text: ipam)
    if inner["type"] == nil { inner = inner.setting("type", "host-local") }
    if inner["dataDir"] == nil { inner = inner.setting("dataDir", .string(directory.path)) }
    var outer: JSONValue = ["cniVersion": .string(version), "name": "net", "type": "macvlan"]
    outer = outer.setting("ipam", inner)
    for member in JSONValue(text: more).object?.members ?? [] {
      outer = outer.setting(member.key, member.value)
    }
    return try NetworkConfiguration(outer.bytes)
  }

  /// A call with a configuration.
  func call(
    _ configuration: NetworkConfiguration, _ containerID: String = "dummy",
    _ ifName: String = "eth0", arguments: String = "", seconds: Int = 30
  ) throws -> IPAMCall {
    IPAMCall(
      containerID: containerID, ifName: ifName, arguments: try CNIArguments(arguments),
      configuration: configuration, allowedPaths: [TemporaryDirectory.parent],
      deadline: .after(seconds: seconds), leases: cache)
  }

  /// ADD.
  func add(
    _ ipam: String, _ containerID: String = "dummy", _ ifName: String = "eth0",
    more: String = "{}", arguments: String = "", version: String = "1.1.0"
  ) throws -> CNIResult {
    try HostLocal(
      call(
        configuration(ipam, more: more, version: version), containerID, ifName,
        arguments: arguments)
    ).add(Permit())
  }

  /// The addresses of an ADD as text, with prefix lengths.
  func addresses(
    _ ipam: String, _ containerID: String = "dummy", _ ifName: String = "eth0",
    more: String = "{}", arguments: String = ""
  ) throws -> [String] {
    try add(ipam, containerID, ifName, more: more, arguments: arguments).ips
      .map { "\($0.address)" }
  }

  /// The error of an ADD that must fail; nil if it does not.
  func failure(
    _ ipam: String, _ containerID: String = "dummy", _ ifName: String = "eth0",
    more: String = "{}", arguments: String = "", version: String = "1.1.0"
  ) throws -> CNIError? {
    do {
      _ = try add(
        ipam, containerID, ifName, more: more, arguments: arguments, version: version)
      return nil
    } catch let error as CNIError {
      return error
    }
  }

  /// DEL.
  func delete(_ ipam: String, _ containerID: String = "dummy", _ ifName: String = "eth0") throws {
    try HostLocal(call(configuration(ipam), containerID, ifName)).delete(Permit())
  }

  /// CHECK.
  func check(_ ipam: String, _ containerID: String = "dummy", _ ifName: String = "eth0") throws {
    try HostLocal(call(configuration(ipam), containerID, ifName)).check()
  }

  /// The path of a file of the network.
  func path(_ name: String) -> String { directory("net/\(name)") }

  /// The content of a file of the network; nil if there is none.
  func content(_ name: String) -> String? {
    (try? Files.read(path(name))).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Makes or overwrites a file of the network.
  func write(_ name: String, _ content: String) throws {
    try Files.makeDirectories(directory("net"), permissions: 0o755)
    try Files.write(path(name), Array(content.utf8), mode: [.write, .create, .truncate])
  }

  /// Every file of the network but `lock` and `last_reserved_ip.*`, sorted.
  var leases: [String] {
    TemporaryDirectory.files(below: directory("net"))
      .filter { $0 != "lock" && !$0.hasPrefix("last_reserved_ip.") }
  }
}
