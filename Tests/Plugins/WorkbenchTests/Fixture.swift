import CNI
import JSON
import Linux
import Netlink
import PluginKit
import TestSupport
import Workbench

/// The steps of a plugin that is only made for these tests.
enum Step: String, AddressingStep {
  case takeLease, runIPAM, createLink, runIPAMDelete, deleteLink, releaseLease, collectLeases
  case first, second, restore, configureLink, awaitAddresses, addRoutes
}

/// A node and a pod, and calls as the daemon makes them.
final class Bench: Sendable {
  let (node, pod): (TestNamespace, TestNamespace)
  let directory: TemporaryDirectory
  let remover: LinkRemover
  private let progress = Locked(CallProgress())

  init() async throws {
    (node, pod) = (try await TestNamespace(), try await TestNamespace())
    directory = try TemporaryDirectory()
    remover = try LinkRemover()
  }

  /// The steps of the last call, in order.
  var steps: [String] {
    progress.value.finished.map { String($0.name.dropFirst("bench.".count)) }
  }

  private var host: PluginHost {
    PluginHost(
      dataDirectory: directory("networks"), binDirectories: [], linkRemover: remover,
      log: { _, _ in })
  }

  /// A request for `box`, `eth0` in the pod's namespace, with some members of the configuration.
  func request(
    _ members: String = "", netns: String? = nil, environment: [String: String] = [:]
  ) throws -> PodRequest {
    let separator = members.isEmpty ? "" : ","
    return PodRequest(
      command: .add, sandboxID: "box", netns: netns ?? pod.path, ifName: "eth0",
      arguments: CNIArguments(),
      configuration: try NetworkConfiguration(
        Array(#"{"cniVersion":"1.1.0","name":"net"\#(separator)\#(members)}"#.utf8)),
      searchPath: [directory("bin")],
      environment: [
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "box", "CNI_IFNAME": "eth0",
        "CNI_NETNS": netns ?? pod.path, "CNI_PATH": directory("bin"),
      ].merging(environment) { $1 },
      requestID: "r1", stamp: Stamp(bootID: "boot", nanoseconds: 7),
      deadline: .after(seconds: 30 * Program.patience))
  }

  /// A record of the request's attachment.
  func record(_ request: PodRequest) -> AttachmentRecord {
    AttachmentRecord(
      key: AttachmentKey(
        network: "net", containerID: request.sandboxID, ifName: request.ifName, plugin: "bench"),
      configuration: request.configuration.bytes, environment: request.environment, origin: "cni",
      requestID: request.requestID, stamp: request.stamp)
  }

  /// A call of another verb than ADD.
  func call(_ request: PodRequest, _ record: AttachmentRecord? = nil) -> PluginCall<Step> {
    let new = CallProgress()
    progress.withLock { $0 = new }
    return PluginCall(
      host: host, plugin: "bench", request: request, record: record, progress: new)
  }
}

extension TestNamespace {
  /// A link as the kernel describes it, and its namespace's number.
  func described(_ name: String) async throws -> (link: Link, cookie: UInt64) {
    try await run {
      var socket = try NetlinkSocket()
      guard let link = try socket.link(named: name, deadline: .after(seconds: 10)) else {
        throw TestError("no link \(name)")
      }
      return (link, try socket.namespaceCookie())
    }
  }
}
