import CNI
import DaemonAPI

/// The CNI variables of a call, checked in the order of the Multus and OVN-Kubernetes daemons.
struct CallVariables {
  let command: CNICommand
  let containerID: String
  let netns: String
  let ifName: String
  private(set) var arguments: String?

  /// Adds to CNI_ARGS.
  mutating func add(arguments more: [String]) {
    let given = arguments.map { $0.isEmpty ? [] : [$0] } ?? []
    arguments = (given + more).joined(separator: ";")
  }

  init(_ env: [String: String], _ endpoint: Endpoint) throws(CNIError) {
    func missing(_ text: String) -> CNIError {
      CNIError(.invalidEnvironment, endpoint.argumentsPrefix + text)
    }
    guard let verb = env["CNI_COMMAND"], !verb.isEmpty else {
      throw missing("unexpected or missing CNI_COMMAND")
    }
    command = CNICommand(rawValue: verb)
    // Hot-plugged networks are swept together with the container's others, by a GC on /cni.
    if endpoint == .delegate, command == .garbageCollect {
      throw CNIError(.invalidEnvironment, "unknown cmd type: \(command)")
    }
    guard !command.isForNode else {
      (containerID, netns, ifName, arguments) = ("", "", "", nil)
      return
    }
    arguments = env["CNI_ARGS"]
    guard let id = env["CNI_CONTAINERID"] else { throw missing("missing CNI_CONTAINERID") }
    // The specification lets DEL come without a namespace.
    guard let path = env["CNI_NETNS"] ?? (command == .delete ? "" : nil) else {
      throw missing("missing CNI_NETNS")
    }
    if endpoint != .cni, arguments == nil { throw missing("missing CNI_ARGS") }
    (containerID, netns) = (id, path)
    ifName = env["CNI_IFNAME"] ?? "eth0"
    try CNIValidation.containerID(containerID)
    try CNIValidation.interfaceName(ifName, for: command)
  }
}

/// Which pod a call is for, from CNI_ARGS.
struct PodIdentity {
  let arguments: CNIArguments
  let namespace: String
  let name: String
  let uid: String

  init(
    _ variables: CallVariables, _ endpoint: Endpoint, isRequired: Bool
  ) throws(CNIError) {
    var isRequired = isRequired && !variables.command.isForNode
    do throws(CNIError) {
      // No pair at all is no arguments only where none are needed.
      if isRequired, variables.arguments?.isEmpty == true {
        throw CNIError(.invalidEnvironment, "invalid CNI_ARG ''")
      }
      arguments = try CNIArguments(variables.arguments)
    } catch {
      guard variables.command == .delete else { throw error.prefixed(by: endpoint.podPrefix) }
      // What was attached must go, whatever the arguments look like.
      arguments = CNIArguments(readable: variables.arguments)
      isRequired = false
    }
    namespace = arguments["K8S_POD_NAMESPACE"] ?? ""
    name = arguments["K8S_POD_NAME"] ?? ""
    uid = arguments["K8S_POD_UID"] ?? ""
    guard isRequired else { return }
    func missing(_ prefix: String, _ name: String) -> CNIError {
      CNIError(.invalidEnvironment, "\(prefix)missing \(name)")
    }
    if variables.arguments == nil { throw missing(endpoint.argumentsPrefix, "CNI_ARGS") }
    for name in ["K8S_POD_NAMESPACE", "K8S_POD_NAME"] where arguments[name] == nil {
      throw missing(endpoint.podPrefix, name)
    }
    guard !namespace.isEmpty, !name.isEmpty else {
      throw CNIError(
        .invalidEnvironment,
        "required CNI variable missing. pod name: \(name); pod namespace: \(namespace)")
    }
  }
}
