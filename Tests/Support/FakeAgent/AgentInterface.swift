import Addresses
public import JSON
import Linux

/// One virtual machine interface as the control plane has it: what the agent answers of it.
public struct AgentInterface: Sendable, Equatable {
  /// An address as an IPAM has it; texts, so that a test can put in nonsense.
  public struct Address: Sendable, Equatable {
    /// The address without its prefix length.
    public var address: String
    /// The length of its prefix; IPv6 has none on the wire.
    public var prefixLength: Int
    /// The gateway.
    public var gateway: String
    /// The name server.
    public var nameServer: String

    /// Creates an address.
    public init(_ address: String, _ prefixLength: Int, gateway: String, nameServer: String) {
      self.address = address
      self.prefixLength = prefixLength
      self.gateway = gateway
      self.nameServer = nameServer
    }
  }

  /// The interface's id.
  public var id: String
  /// The id of its virtual network.
  public var network: String
  /// `default-domain:k8s-default:...`, the network's name in the control plane.
  public var networkName = "default-domain:k8s-default:k8s-default-pod-network"
  /// Its hardware address.
  public var mac: String
  /// The VLAN in nested clusters; 65535 is none.
  public var vlan = 65535
  /// `["{key:value}"]`; nil leaves the member out.
  public var annotations: [String]?
  /// Its IPv4 address, nil while no IPAM matches.
  public var ipv4: Address?
  /// Its IPv6 address, nil while no IPAM matches.
  public var ipv6: Address?
  /// Whether the agent knows the virtual network.
  public var isNetworkKnown = true

  /// Creates an interface.
  ///
  /// - Parameters:
  ///   - id: its uuid.
  ///   - network: the uuid of its virtual network.
  ///   - mac: its hardware address.
  ///   - annotations: as on the wire.
  ///   - ipv4: its address.
  public init(
    id: String, network: String, mac: String, annotations: [String]? = nil, ipv4: Address? = nil
  ) {
    self.id = id
    self.network = network
    self.mac = mac
    self.annotations = annotations
    self.ipv4 = ipv4
  }

  /// The annotations that kube-manager writes.
  ///
  /// - Parameters:
  ///   - index: the interface's number, from 0.
  ///   - total: how many the pod has.
  ///   - network: `default`, or the name of a NetworkAttachmentDefinition.
  ///   - interface: the name in the pod that the user asked for; nil for none.
  ///   - pod: the pod's name.
  ///   - namespace: the pod's namespace.
  /// - Returns: `{key:value}` each.
  public static func annotations(
    _ index: Int, of total: Int, network: String, interface: String? = nil, pod: String = "web-0",
    namespace: String = "default"
  ) -> [String] {
    let texts = [
      "{cluster:k8s}", "{index:\(index)/\(total)}", "{kind:Pod}", "{name:\(pod)}",
      "{namespace:\(namespace)}", "{network:\(network)}", "{owner:k8s}", "{project:\(namespace)}",
    ]
    return texts + (interface.map { ["{interface:\($0)}"] } ?? [])
  }

  /// The object of `GET /vm-cfg`.
  ///
  /// - Parameter vm: the uuid of the virtual machine.
  /// - Returns: the object, its members as the agent orders them.
  public func configuration(vm: String) -> JSONValue {
    var object: JSONValue = [
      "id": .string(id), "vm-uuid": .string(vm), "vn-id": .string(network),
      "vn-name": .string(networkName), "mac-address": .string(mac),
      "sub-interface": .bool(vlan != 65535), "vlan-id": .number(JSONNumber(vlan)),
    ]
    if let annotations {
      object = object.setting("annotations", .array(annotations.map { .string($0) }))
    }
    return object
  }

  /// The object of `GET /vm`.
  ///
  /// - Parameters:
  ///   - vm: the uuid of the virtual machine.
  ///   - hostLink: the name of the link on the node.
  /// - Returns: the object, its members as the agent orders them.
  public func port(vm: String, hostLink: String) -> JSONValue {
    var object: JSONValue = [
      "id": .string(id), "instance-id": .string(vm), "vn-id": .string(network),
      "vm-project-id": "7b2d8f61-4c0e-4f0a-8d3b-1a5e9c7f2b46", "mac-address": .string(mac),
      "system-name": .string(hostLink), "rx-vlan-id": 65535, "tx-vlan-id": 65535,
      "vhostuser-mode": 0,
    ]
    if let ipv4 {
      object = object.setting("ip-address", .string(ipv4.address))
        .setting("plen", .number(JSONNumber(ipv4.prefixLength)))
        .setting("dns-server", .string(ipv4.nameServer))
        .setting("gateway", .string(ipv4.gateway))
    }
    if let ipv6 {
      object = object.setting("v6-ip-address", .string(ipv6.address))
        .setting("v6-dns-server", .string(ipv6.nameServer))
        .setting("v6-gateway", .string(ipv6.gateway))
    }
    return object.setting("author", "contrail-vrouter-agent").setting("time", .string(Self.time))
  }

  /// The time of day as the agent prints it: hours since 1970, minutes, seconds.
  static var time: String {
    let microseconds = KernelClock.real / 1000
    func padded(_ number: UInt64, _ digits: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000)
    return "\(seconds / 3600):\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2))"
      + ".\(padded(rest, 6))"
  }
}

extension JSONValue {
  /// A copy of an object with a member set; nil removes it.
  func setting(_ key: String, _ value: JSONValue?) -> JSONValue {
    guard var object else { return self }
    object[key] = value
    return .object(object)
  }

  /// Prints objects as the agent does: each laid out for itself, joined without a space.
  static func agentList(_ objects: [JSONValue]) -> [UInt8] {
    let parts = objects.map { String(decoding: $0.encoded(.indented(4)), as: UTF8.self) }
    return Array("[\(parts.joined(separator: ","))]".utf8)
  }
}
