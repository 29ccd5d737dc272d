import CNI
import DaemonAPI
import HTTP
import JSON
import Linux
import PluginKit

extension Endpoint {
  /// The endpoints on which calls come; they differ in what a caller must say and in the form of the answer.
  static let calls: [Endpoint] = [.cni, .delegate, .ovn]

  /// The name in records.
  var origin: String {
    switch self {
    case .delegate: "delegate"
    case .ovn: "ovn"
    default: "cni"
    }
  }

  /// What stands before the errors of reading the CNI variables.
  var argumentsPrefix: String {
    self == .ovn ? "" : "could not extract the CNI command args: "
  }

  /// What stands before the errors of reading the pod's identity.
  var podPrefix: String {
    self == .ovn ? "" : "could not extract the kubernetes runtime args: "
  }
}

extension CNICommand {
  /// Whether it is about the node and about no attachment.
  var isForNode: Bool { self == .status || self == .garbageCollect }
}

/// A request that was read, and the plugin that serves it by its configuration.
struct DecodedRequest: Sendable {
  var request: PodRequest
  let endpoint: Endpoint
  /// The shim asks for this verb's plugin by its configuration; a record may say otherwise.
  let plugin: (any NetworkPlugin)?
  /// Why no plugin was chosen.
  let choiceError: CNIError?

  /// What the chosen plugin must not do twice at a time.
  var lock: String? { plugin?.lock(for: request) }

  /// The attachment that an ADD of this request makes.
  var ownKey: AttachmentKey? {
    guard let plugin else { return nil }
    return AttachmentKey(
      network: request.configuration.name, containerID: request.sandboxID, ifName: request.ifName,
      plugin: plugin.name)
  }
}

/// Turns the body of an HTTP request into a `PodRequest`, with the order and texts of the systems that it is compatible with.
struct RequestDecoder: Sendable {
  let settings: ConfigurationHolder
  let registry: PluginRegistry
  /// The configuration by which one request is read from its beginning to its end; nil between requests.
  private var pinned: Configuration?
  private let bootID = Stamp.now.bootID

  init(settings: ConfigurationHolder, registry: PluginRegistry) {
    self.settings = settings
    self.registry = registry
  }

  /// Reads a request.
  ///
  /// - Parameters:
  ///   - message: a whole HTTP request.
  ///   - endpoint: where it came in.
  /// - Returns: the request.
  /// - Throws: the first thing that is wrong with it.
  func decode(_ message: HTTPRequest, _ endpoint: Endpoint) throws(CNIError) -> DecodedRequest {
    var headers = RequestHeaders(message.headers)
    // Whoever calls now lives in this boot, whatever it says.
    if headers.stamp?.bootID != bootID { headers.stamp = nil }
    return try decode(try body(message, endpoint), headers, endpoint)
  }

  private var configuration: Configuration { pinned ?? settings.current }

  /// Reads a call.
  ///
  /// - Parameters:
  ///   - call: the call.
  ///   - headers: what its sender said beside it.
  ///   - endpoint: where it came in.
  /// - Returns: the request.
  /// - Throws: the first thing that is wrong with it.
  func decode(
    _ call: Request, _ headers: RequestHeaders, _ endpoint: Endpoint
  ) throws(CNIError) -> DecodedRequest {
    var steady = self
    steady.pinned = settings.current
    return try steady.read(call, headers, endpoint)
  }

  private func read(
    _ call: Request, _ headers: RequestHeaders, _ endpoint: Endpoint
  ) throws(CNIError) -> DecodedRequest {
    let variables = try Variables(call.env, endpoint)
    // OVN-Kubernetes looks at the pod before the configuration, Multus the other way round.
    if endpoint == .ovn { _ = try PodIdentity(variables, endpoint, isRequired: true) }
    var network = try networkConfiguration(call, endpoint)
    let (plugin, choiceError) = choose(network)
    if let plugin, let defaults = configuration.plugins[plugin.name] {
      network = try network.completed(with: defaults)
    }
    // A DEL without it is told what to remove by the record.
    let isNeeded = variables.command != .delete && plugin?.needsPodIdentity(network) == true
    let isRequired = endpoint != .cni || isNeeded
    let pod = try PodIdentity(variables, endpoint, isRequired: isRequired)
    return DecodedRequest(
      request: PodRequest(
        command: variables.command, podNamespace: pod.namespace, podName: pod.name, podUID: pod.uid,
        sandboxID: variables.containerID, netns: variables.netns, ifName: variables.ifName,
        arguments: pod.arguments, configuration: network, searchPath: searchPath(call.env),
        environment: call.env.filter { Self.isPassedOn($0.key) },
        requestID: headers.requestID ?? "", stamp: headers.stamp ?? Stamp.now,
        deadline: deadline(headers)),
      endpoint: endpoint, plugin: plugin, choiceError: choiceError)
  }

  /// Whether a variable is for the programs that plugins run: CNI's own, and the context of a trace.
  private static func isPassedOn(_ name: String) -> Bool {
    name.utf8.starts(with: "CNI_".utf8)
      || ["TRACEPARENT", "TRACESTATE", "BAGGAGE"].contains(name)
  }

  private func body(
    _ message: HTTPRequest, _ endpoint: Endpoint
  ) throws(CNIError) -> Request {
    do throws(CNIError) {
      return try Request(parsing: message.body)
    } catch {
      throw endpoint == .ovn ? error.prefixed(by: "JSON unmarshal error: ") : error
    }
  }

  private func networkConfiguration(
    _ call: Request, _ endpoint: Endpoint
  ) throws(CNIError) -> NetworkConfiguration {
    let plain: NetworkConfiguration
    do throws(CNIError) {
      plain = try NetworkConfiguration(call.config)
    } catch {
      throw error.prefixed(
        by: endpoint == .ovn
          ? "broken stdin args: " : endpoint.argumentsPrefix + "failed to unmarshall CNI config: ")
    }
    guard endpoint == .delegate else { return try plain.overridden(by: configuration.overrides) }
    return try plain.asDelegate(with: call.interfaceAttributes)
  }

  /// The choice by the configuration; its error only counts if no record says otherwise.
  private func choose(_ network: NetworkConfiguration) -> ((any NetworkPlugin)?, CNIError?) {
    do throws(CNIError) {
      return (try registry.choose(for: network, defaultPlugin: configuration.defaultPlugin), nil)
    } catch {
      return (nil, error)
    }
  }

  /// Where programs of plugins are looked for: the daemon's directories, then the absolute ones of CNI_PATH.
  func searchPath(_ env: [String: String]) -> [String] {
    let given = env["CNI_PATH", default: ""].utf8.split(separator: 0x3A).map { String($0) ?? "" }
    return configuration.binDirectories + given.filter { $0.utf8.first == 0x2F }
  }

  /// The daemon's own limit, or what the caller has left less the time for the way back: two seconds, or half of little.
  private func deadline(_ headers: RequestHeaders) -> Deadline {
    let own = Deadline.after(seconds: configuration.requestTimeout)
    guard let left = headers.timeLeft else { return own }
    return own.capped(milliseconds: max(left - 2000, left / 2))
  }
}

/// The CNI variables of a call, checked in the order of the Multus and OVN-Kubernetes daemons.
private struct Variables {
  let command: CNICommand
  let containerID: String
  let netns: String
  let ifName: String
  let arguments: String?

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
    try CNIValidation.interfaceName(ifName)
  }
}

/// Which pod a call is for, from CNI_ARGS.
private struct PodIdentity {
  let arguments: CNIArguments
  let namespace: String
  let name: String
  let uid: String

  init(
    _ variables: Variables, _ endpoint: Endpoint, isRequired: Bool
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
