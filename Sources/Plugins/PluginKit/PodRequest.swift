public import CNI
public import Linux

/// One CNI call as a plugin sees it: what to do, for which sandbox, with which configuration.
///
/// Counterpart of `PodRequest` in OVN-Kubernetes' cniserver; the answer is returned instead of sent
/// through a channel.
public struct PodRequest: Sendable {
  /// The verb.
  public var command: CNICommand
  /// `K8S_POD_NAMESPACE` of CNI_ARGS, empty if absent.
  public var podNamespace: String
  /// `K8S_POD_NAME` of CNI_ARGS, empty if absent.
  public var podName: String
  /// `K8S_POD_UID` of CNI_ARGS, empty if absent.
  public var podUID: String
  /// CNI_CONTAINERID; empty for STATUS and GC.
  public var sandboxID: String
  /// CNI_NETNS, a path; empty when the runtime gave none.
  public var netns: String
  /// CNI_IFNAME.
  public var ifName: String
  /// CNI_ARGS.
  public var arguments: CNIArguments
  /// The configuration on stdin with its exact bytes, after the daemon's overrides and defaults.
  public var configuration: NetworkConfiguration
  /// Directories in which programs of plugins are looked for, in order.
  public var searchPath: [String]
  /// The call's CNI_* variables as they came, for plugins that are executed.
  public var environment: [String: String]
  /// The call's identity; a repeated call has the same.
  public var requestID: String
  /// The name (`comm`) of the process that ran the caller, such as `multus`; empty where it is not
  /// known: only a call on `/cni` that is being answered has one, for a plugin that reads it.
  public var callerName: String
  /// Whether the configuration is that of a record: an ADD was allowed to use its paths.
  public var isRecorded = false
  /// When the caller began.
  public var stamp: Stamp
  /// The boot id that the caller gave, where it is not this one's: a container may fake it.
  package var callerBootID: String?
  /// When the call must be over.
  public var deadline: Deadline

  /// Creates a request from its parts.
  public init(
    command: CNICommand, podNamespace: String = "", podName: String = "", podUID: String = "",
    sandboxID: String, netns: String, ifName: String, arguments: CNIArguments,
    configuration: NetworkConfiguration, searchPath: [String], environment: [String: String],
    requestID: String, callerName: String = "", stamp: Stamp, deadline: Deadline
  ) {
    self.command = command
    self.podNamespace = podNamespace
    self.podName = podName
    self.podUID = podUID
    self.sandboxID = sandboxID
    self.netns = netns
    self.ifName = ifName
    self.arguments = arguments
    self.configuration = configuration
    self.searchPath = searchPath
    self.environment = environment
    self.requestID = requestID
    self.callerName = callerName
    self.stamp = stamp
    self.deadline = deadline
  }

  /// `namespace/name` of the pod, or the sandbox id where the caller named no pod; for people.
  public var title: String {
    podName.isEmpty ? sandboxID : "\(podNamespace)/\(podName)"
  }
}

/// How a request ended: the bytes of the answer, or the error.
///
/// Counterpart of `PodResult` in OVN-Kubernetes' cniserver (`Response`, `Err`).
public typealias PodResult = Result<[UInt8], CNIError>
