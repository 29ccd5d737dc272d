public import CNI
public import Linux

/// One call to address management: who asks, with which configuration, until when.
///
/// The network plugin makes it from its own request. An IPAM plugin gets the network plugin's whole
/// configuration and environment, never only the `ipam` part.
public struct IPAMCall: Sendable {
  /// The container id; empty for STATUS and GC.
  public var containerID: String
  /// The interface's name in the container; empty for STATUS and GC.
  public var ifName: String
  /// CNI_ARGS.
  public var arguments: CNIArguments
  /// Keys of CNI_ARGS that the network plugin itself knows, such as `MAC`.
  ///
  /// In the reference, network plugin and IPAM plugin each refuse the other's key unless
  /// `IgnoreUnknown` is set. Here one program serves both, so a key that either of them knows is
  /// known.
  public var knownArguments: [String]
  /// The network configuration.
  public var configuration: NetworkConfiguration
  /// The caller's `CNI_*` variables and trace context, for IPAM plugins that are executed.
  public var environment: [(String, String)]
  /// Where IPAM plugins on disk are looked for.
  public var searchPath: [String]
  /// Where `host-local` keeps leases unless the configuration's `dataDir` says otherwise.
  public var dataDirectory: String
  /// When to give up.
  public var deadline: Deadline
  /// What is remembered of the lease directories; a hint that saves reading them.
  public var leases: LeaseCache

  /// The reference's place for leases.
  public static let defaultDataDirectory = "/var/lib/cni/networks"

  /// Makes a call.
  public init(
    containerID: String, ifName: String, arguments: CNIArguments = CNIArguments(),
    knownArguments: [String] = [], configuration: NetworkConfiguration,
    environment: [(String, String)] = [], searchPath: [String] = [],
    dataDirectory: String = IPAMCall.defaultDataDirectory, deadline: Deadline,
    leases: LeaseCache = .shared
  ) {
    self.containerID = containerID
    self.ifName = ifName
    self.arguments = arguments
    self.knownArguments = knownArguments
    self.configuration = configuration
    self.environment = environment
    self.searchPath = searchPath
    self.dataDirectory = dataDirectory
    self.deadline = deadline
    self.leases = leases
  }
}
