package import Addresses

/// What the plugin is told by a network configuration: the object `contrail` and the network's
/// name.
///
/// Counterpart of `ContrailCni` in the Contrail CNI plugin, with its keys and defaults; of each key
/// the network configuration's value counts, else the file's on the node, else the default.
package struct ContrailCni: Sendable, Equatable {
  /// What asks the controller for the pods' interfaces.
  package enum Mode: String, Sendable, CaseIterable {
    /// Kubernetes: a pod is known by cluster, namespace and name.
    case k8s
    /// Mesos: a container is known by its id, and announced to the node's Mesos manager.
    case mesos
  }

  /// How a pod is joined to the vRouter.
  package enum VIFType: String, Sendable, CaseIterable {
    case veth
    /// A macvlan link on a VLAN of `parent-interface`: a cluster inside of virtual machines.
    case macvlan
    /// The same as `veth`.
    case eth
  }

  /// `cluster-name`: the first part of a pod's name at the agent; may be empty.
  package var clusterName = Self.defaultClusterName
  package var mode = Mode.k8s
  /// `meta-plugin`: the program whose calls are each for one network of a pod.
  package var metaPlugin = Self.defaultMetaPlugin
  package var vifType = VIFType.veth
  /// `parent-interface`: the node's link for the VLANs.
  package var parentInterface = Self.defaultParentInterface
  /// `mtu` of every link, in bytes.
  package var mtu: UInt32 = 1500
  /// The network's name; the key `network-name` never counted.
  package var networkName = ""
  /// `mesos-ip` of the node's Mesos manager.
  package var mesosIP: IPAddress?
  package var mesosPort: UInt16?
  package var logFile = Self.defaultLogFile
  /// `log-level`; read and not used, as ever.
  package var logLevel = Self.defaultLogLevel
  package var server = Self.defaultAgentAddress
  package var port = Self.defaultAgentPort
  /// `config-dir`: where the port files are.
  package var directory = Self.defaultPortDirectory
  /// `poll-timeout` in milliseconds: the pause between two polls.
  package var pollMilliseconds = Self.defaultPollTimeout * 1000
  /// `poll-retries`: the polls of each phase.
  package var pollRetries = Self.defaultPollRetries

  /// `add-timeout` in milliseconds: how long ADD waits for the agent, unless its own
  /// time ends before.
  package var addMilliseconds = 0
  /// `meta-mode`: whether each call is for one network; nil to find out.
  package var isMeta: Bool?
  /// `v6-prefix-length`, which the agent does not tell.
  package var ipv6PrefixLength = 64
  /// `dad`: whether IPv6 addresses are used without duplicate address detection.
  package var skipsDAD = false
  /// The name of the network in the file on the node; nil without one.
  package var defaultNetworkName: String?

  /// The pod's name at the agent.
  package private(set) var containerName = ""
  /// The pod's uuid at the agent.
  package private(set) var containerUUID = ""
  /// The uuid of the pod's virtual network.
  package private(set) var containerVN = ""

  package init() { addMilliseconds = defaultAddMilliseconds }

  /// Notes what is known of the pod; counterpart of `UpdateContainerInfo`.
  package mutating func updateContainerInfo(name: String, uuid: String, network: String) {
    containerName = name
    containerVN = network
    updateContainerUUID(uuid)
  }

  /// Notes the pod's uuid; counterpart of `UpdateContainerUuid`.
  package mutating func updateContainerUUID(_ uuid: String) { containerUUID = uuid }

  /// Twice what both phases of polling pause.
  var defaultAddMilliseconds: Int {
    let (product, overflow) = pollMilliseconds.multipliedReportingOverflow(by: pollRetries)
    return overflow ? .max : max(2000, product.multipliedReportingOverflow(by: 2).partialValue)
  }

  /// Whether pods get VLANs of the parent.
  var usesVLANs: Bool { vifType == .macvlan }
}

/// The constants of the Contrail CNI plugin.
extension ContrailCni {
  /// Its name: `type` of its configurations, and `name` of the default network's.
  package static let pluginName = "contrail-k8s-cni"
  /// Where its file may be on the node, in order.
  package static let configurationDirectories = ["/etc/cni/net.d", "/etc/kubernetes/cni/net.d"]
  /// What the file's name ends in.
  package static let configurationFiles = ["contrail.conf", "tf-cni.conf"]
  package static let defaultClusterName = "k8s"
  package static let defaultMetaPlugin = "multus"
  package static let defaultParentInterface = "eth0"
  package static let defaultLogFile = "/var/log/contrail/cni/opencontrail.log"
  package static let defaultLogLevel = "4"
  package static let defaultAgentAddress = IPAddress(v4: 0x7F00_0001)
  package static let defaultAgentPort: UInt16 = 9091
  /// Where a network may have port files.
  package static let directoryOfAgent = "/var/lib/contrail"
  package static let defaultPortDirectory = "/var/lib/contrail/ports/vm"
  /// `poll-timeout`, in seconds.
  package static let defaultPollTimeout = 3
  package static let defaultPollRetries = 20
}
