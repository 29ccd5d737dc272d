import FakeVRouter
import JSON
import Linux
import TestSupport

typealias Fixture = VRouterFixture

/// What requests, files and links must look like.
extension VRouterNode {
  /// `GET /vm-cfg` of the pod of the examples.
  static let cfg = "GET /vm-cfg/\(Fixture.name)"
  /// The agent's request to forget it.
  static let del = "DELETE /vm/\(Fixture.podUID)"

  /// What an interface's port must say, without the time.
  func port(
    _ interface: String, _ ifname: String, _ tap: String, _ pod: TestPod,
    name: String = Fixture.name, uuid: String = Fixture.podUID
  ) -> JSONValue {
    [
      "vm-id": .string(pod.containerID), "vm-uuid": .string(uuid), "vm-name": .string(name),
      "host-ifname": .string(tap), "vm-ifname": .string(ifname),
      "vm-namespace": .string(pod.netns),
      "vn-uuid": .string(interface == Fixture.vmi0 ? Fixture.vn0 : Fixture.vn1),
      "vmi-uuid": .string(interface),
    ]
  }

  /// Whether a request asks for the port of one interface.
  static func isPoll(_ request: AgentRequest, _ interface: String) -> Bool {
    let machine = "GET /vm/\(Fixture.podUID)"
    return request.line == "\(machine)/\(interface)" || request.line == machine
  }

  /// What the agent was asked, in short: `CFG`, `POST VMI0`, `P2 VMI0`, `DEL`.
  var story: [String] {
    let interfaces = [Fixture.vmi0: "VMI0", Fixture.vmi1: "VMI1", Fixture.vmi2: "VMI2"]
    return agent.requests.map { request in
      if request.line == Self.cfg { return "CFG" }
      if request.line == Self.del { return "DEL" }
      if request.line == "POST /vm", let id = request.text("vmi-uuid") {
        return "POST \(interfaces[id] ?? id)"
      }
      if let id = interfaces.keys.first(where: { Self.isPoll(request, $0) }) {
        let last = request.path.split(separator: "/").last.map(String.init) ?? ""
        return "P2 \(interfaces[last] ?? interfaces[id] ?? "")"
      }
      return request.line
    }
  }

  /// The milliseconds from each answer to the next request, of the requests of one method
  /// whose path begins so.
  func gaps(_ method: String, _ prefix: String) -> [Int] {
    let requests = agent.requests(method, prefix)
    return zip(requests, requests.dropFirst()).map { first, second in
      Int(second.arrived) - Int(first.answering ?? second.arrived)
    }
  }

  /// The links of the node that a pod has or may leave.
  func taps() async throws -> [String] {
    try await node.network.links().filter { link in
      ["tap", "tmp", "vlan", "mac"].contains { link.hasPrefix($0) }
    }
  }

  /// Addresses of a link of the node or of a pod with link scope.
  func linkLocal(_ link: String, in network: TestNamespace) async throws -> [String] {
    try await network.show("address", "show", "dev", link)
      .flatMap { $0["addr_info"]?.array ?? [] }
      .filter { $0["scope"]?.string == "link" }.compactMap { $0["local"]?.string }
  }

  /// Forgets all records of attachments, as a node does whose daemon's state was lost.
  func loseRecords() async throws {
    try await node.kill()
    TemporaryDirectory.removeTree(node.stateDirectory)
    try await node.start()
  }
}

extension AgentRequest {
  /// The names of a port's members, in the order in which the original sends them.
  static let keys = [
    "time", "vm-id", "vm-uuid", "vm-name", "host-ifname", "vm-ifname", "vm-namespace", "vn-uuid",
    "vmi-uuid",
  ]

  /// The body's port without its time; `null` unless it has exactly the nine texts.
  var port: JSONValue { json.map { JSONValue.port($0) } ?? .null }
}

extension JSONValue {
  /// A port without its time; `null` unless it has exactly the nine texts in their order.
  static func port(_ value: JSONValue) -> JSONValue {
    guard value.object?.keys == AgentRequest.keys, value["time"]?.string?.isEmpty == false else {
      return .null
    }
    return value.setting("time", nil)
  }

  /// Whether this is the result of ADD with one interface, in the specification's form.
  func hasPrimary(_ name: String, _ mac: String) -> Bool {
    self["interfaces"]?.array?.contains { $0["name"]?.string == name && $0["mac"]?.string == mac }
      == true
  }
}

extension ProgramResult {
  /// Whether this is a failure as a runtime understands it: status 1, one object
  /// with code and text.
  var isFailure: Bool {
    status == .exited(1) && code != nil && message?.isEmpty == false
  }
}
