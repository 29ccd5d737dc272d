package import Addresses
package import CNI
package import Linux

/// One call to address management: the caller, its configuration and its deadline.
///
/// The network plugin makes it from its own request. An IPAM plugin gets the network plugin's whole
/// configuration and environment, never only the `ipam` part.
package struct IPAMCall: Sendable {
  /// The container id; empty for STATUS and GC.
  package var containerID: String
  /// The interface's name in the container; empty for STATUS and GC.
  package var ifName: String
  /// CNI_ARGS.
  package var arguments: CNIArguments
  /// Keys of CNI_ARGS that the network plugin itself knows, such as `MAC`.
  ///
  /// In the reference, network plugin and IPAM plugin each refuse the other's key unless
  /// `IgnoreUnknown` is set. Here one program serves both, so a key that either of them knows is
  /// known.
  package var knownArguments: [String]
  package var configuration: NetworkConfiguration
  /// The caller's `CNI_*` variables and trace context, for IPAM plugins that are executed.
  package var environment: [(String, String)]
  /// Where IPAM plugins on disk are looked for.
  package var searchPath: [String]
  /// What paths of the node lead through: IPAM plugins on disk, `resolvConf`; nil for this
  /// process' own root.
  package var hostRoot: RootDirectory?
  /// Where `host-local` keeps leases unless the configuration's `dataDir` says otherwise.
  package var dataDirectory: String
  /// Where else the configuration's paths may lead; nil where an ADD was allowed to use them.
  package var allowedPaths: [String]?
  /// The node's pod network, for `pod-cidr`; nil while it is not known.
  package var podCIDR: IPNetwork?
  /// When to give up.
  package var deadline: Deadline
  /// What is remembered of the lease directories; a hint that saves reading them.
  package var leases: LeaseCache

  /// The reference's place for leases.
  package static let defaultDataDirectory = "/var/lib/cni/networks"

  package init(
    containerID: String, ifName: String, arguments: CNIArguments = CNIArguments(),
    knownArguments: [String] = [], configuration: NetworkConfiguration,
    environment: [(String, String)] = [], searchPath: [String] = [],
    hostRoot: RootDirectory? = nil,
    dataDirectory: String = IPAMCall.defaultDataDirectory, allowedPaths: [String]? = [],
    podCIDR: IPNetwork? = nil, deadline: Deadline, leases: LeaseCache = .shared
  ) {
    self.containerID = containerID
    self.ifName = ifName
    self.arguments = arguments
    self.knownArguments = knownArguments
    self.configuration = configuration
    self.environment = environment
    self.searchPath = searchPath
    self.hostRoot = hostRoot
    self.dataDirectory = dataDirectory
    self.allowedPaths = allowedPaths
    self.podCIDR = podCIDR
    self.deadline = deadline
    self.leases = leases
  }

  /// Checks a path of the configuration, which is for what is below some directories.
  ///
  /// - Throws: code 7 if it leads elsewhere.
  func check(_ path: String, _ key: String, own: [String]) throws(CNIError) {
    guard let allowedPaths else { return }
    try PathRule(own + allowedPaths).check(path, key)
  }
}
