import Addresses
import CNI
import JSON
import Workbench

/// What the plugin reads of a network configuration and of CNI_ARGS, checked as far as no
/// switch is needed.
///
/// The keys are those of ovs-cni, whose flat file of defaults is merged in before
/// (`ConfigurationFile`).
struct OVSConfiguration: Sendable {
  /// The keys of CNI_ARGS that the plugin itself knows.
  static let knownArguments = ["MAC", "OvnPort"]
  /// The keys that the plugin itself reads, and those that OVN-Kubernetes reads of its networks.
  static let keys = KeyTable(
    [
      "bridge", "vlan", "mtu", "ofport_request", "socket_file", "link_state_check_retries",
      "link_state_check_interval", "portTimeout", "configuration_path", "deviceID",
      "interface_type", "addresses", "netAttachDefName", "dad",
    ] + keysOfOVNKubernetes, inside: [("trunk", VLANs.keys)])
  static let keysOfOVNKubernetes = [
    "topology", "subnets", "excludeSubnets", "reservedSubnets", "infrastructureSubnets",
    "defaultGatewayIPs", "joinSubnet", "role", "transport", "allowPersistentIPs", "vlanID",
    "physicalNetworkName", "logfile-maxsize", "logfile-maxbackups", "logfile-maxage",
  ]
  /// Where ovsdb-server listens unless `socket_file` says otherwise.
  static let defaultDatabase = "unix:/var/run/openvswitch/db.sock"

  /// Where the addresses of a pod come from.
  enum AddressSource: String, Sendable {
    /// Address management, as `ipam` names it.
    case ipam
    /// The pod's annotation, as OVN-Kubernetes writes it.
    case annotation
  }

  /// The bridge; nil leaves it to ``Switch/bridge(of:)``.
  let bridge: String?
  let vlans: VLANs
  /// The MTU of both ends, nil for the kernel's choice.
  let mtu: UInt32?
  /// The requested hardware address: `runtimeConfig.mac`, else CNI_ARGS' `MAC`, else
  /// `args.cni.mac`.
  let mac: MACAddress?
  /// The logical switch port that is asked for by name: CNI_ARGS' `OvnPort`, else
  /// `args.cni.ovnPort`.
  let ovnPort: String?
  /// `ofport_request`.
  let portNumber: Int?
  let database: String
  /// How long the port's link may take to be up, in milliseconds; nil for the call's own time.
  ///
  /// ovs-cni's three seconds are less than ovs-vswitchd takes to come back to a database
  /// that was restarted.
  let linkStateMilliseconds: Int?
  /// How long ovs-vswitchd may take for the port, in milliseconds: a restart's time, and not all
  /// of a worker's.
  let portMilliseconds: Int
  /// Where addresses come from.
  let addresses: AddressSource
  /// The network's name in the pod's annotation: `netAttachDefName`, or `default`.
  let annotatedNetwork: String
  /// Whether IPv6 addresses are used without duplicate address detection (`dad`: `skip`).
  let skipsDAD: Bool
  /// Limits that `runtimeConfig.bandwidth` asks for; nil if it has none.
  let bandwidth: Bandwidth?

  /// Reads a configuration.
  ///
  /// - Throws: code 2 for what is not built, 4 for CNI_ARGS, 6 for a wrong type, 7 for a value
  ///   that is not valid.
  init(
    _ configuration: NetworkConfiguration, _ arguments: CNIArguments
  ) throws(CNIError) {
    let others = configuration.ipamType == nil ? [] : ["IP", "GATEWAY"]
    try arguments.checkKnown(Self.knownArguments + others)
    let reader = MemberReader(configuration, keys: Self.keys)
    try Self.refuseHardware(reader)
    let given = MemberReader(
      configuration.cniArgs ?? JSONObject(), path: "args.cni", .configuration)
    bridge = try reader.nonEmpty("bridge")
    vlans = try VLANs(reader)
    let wantedMTU = try reader.number("mtu", maximum: 65_535) ?? 0
    mtu = wantedMTU == 0 ? nil : UInt32(truncatingIfNeeded: wantedMTU)
    mac = try .requested(reader, arguments, else: try given.nonEmpty("mac"), "args.cni.mac")
    let argued = arguments["OvnPort"] ?? ""
    ovnPort = argued.isEmpty ? try given.nonEmpty("ovnPort") : argued
    portNumber = try Self.portNumber(reader)
    database = try reader.nonEmpty("socket_file") ?? Self.defaultDatabase
    let retries = try reader.number("link_state_check_retries", maximum: 10_000) ?? 0
    let interval = try reader.number("link_state_check_interval", maximum: 600_000) ?? 0
    let product = (retries == 0 ? 5 : retries) * (interval == 0 ? 600 : interval)
    linkStateMilliseconds = retries == 0 && interval == 0 ? nil : Int(clamping: product)
    let patience = try reader.member("portTimeout")?.number(maximum: 3600) ?? 20
    portMilliseconds = Int(patience) * 1000
    addresses = try Self.addressSource(reader, configuration)
    annotatedNetwork = try reader.nonEmpty("netAttachDefName") ?? "default"
    skipsDAD = try reader.member("dad")?.skipsDAD() ?? false
    let limits = try reader.reader("runtimeConfig")?.reader("bandwidth")
    bandwidth = try limits.map { reader throws(CNIError) in try Bandwidth(reader) }
  }

  /// The interface's name for OVN, external id `iface-id`; nil if OVN is not to know of it.
  ///
  /// OVN-Kubernetes' names: `<namespace>_<pod>`, with the network before it for a secondary one.
  func interfaceID(podNamespace: String, podName: String) -> String? {
    if let ovnPort { return ovnPort }
    guard addresses == .annotation else { return nil }
    let pod = "\(podNamespace)_\(podName)"
    if annotatedNetwork == "default" { return pod }
    let network = String(annotatedNetwork.map { $0 == "-" || $0 == "/" ? "." : $0 })
    return "\(network)_\(pod)"
  }

  // MARK: Reading

  /// Interfaces that need special hardware or a userspace driver are not built.
  private static func refuseHardware(_ reader: MemberReader) throws(CNIError) {
    if let device = try reader.nonEmpty("deviceID") {
      throw CNIError(
        .unsupportedField,
        "deviceID \(goQuoted(device)) is not supported: this plugin attaches pods with veth links only",
        details: "hardware offload, vhost-user and vDPA need a plugin for that device")
    }
    guard let type = try reader.nonEmpty("interface_type"), type != "system" else { return }
    throw CNIError(
      .unsupportedField,
      "interface_type \(goQuoted(type)) is not supported: this plugin attaches pods with veth links only"
    )
  }

  private static func portNumber(_ reader: MemberReader) throws(CNIError) -> Int? {
    guard let number = try reader.number("ofport_request", maximum: UInt64(Int32.max)), number != 0
    else { return nil }
    guard number <= 65_279 else {
      throw CNIError(
        .invalidConfiguration, "invalid ofport_request \(number), must be between 1 and 65279")
    }
    return Int(number)
  }

  private static func addressSource(
    _ reader: MemberReader, _ configuration: NetworkConfiguration
  ) throws(CNIError) -> AddressSource {
    guard let text = try reader.nonEmpty("addresses") else {
      let isOVN = configuration.ipamType == nil && PodAnnotations.isDeclared(configuration)
      return isOVN || configuration.type == OVSPlugin.ovnType ? .annotation : .ipam
    }
    guard let source = AddressSource(rawValue: text) else {
      throw CNIError(
        .invalidConfiguration,
        "unknown addresses: \(goQuoted(text)), must be \"ipam\" or \"annotation\"")
    }
    return source
  }
}

extension MemberReader {
  /// A text; absent, null and empty are all nil.
  func nonEmpty(_ key: String) throws(CNIError) -> String? {
    guard let text = try string(key), !text.isEmpty else { return nil }
    return text
  }
}
