import CNI
import DaemonAPI
import HTTP
import JSON
import Linux
import PluginKit

/// Turns the body of an HTTP request into a `PodRequest`, with the order and texts of the systems
/// that it is compatible with.
struct RequestDecoder: Sendable {
  private let settings: ConfigurationHolder
  private let registry: PluginRegistry
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
    let other = headers.stamp.flatMap { $0.bootID == bootID ? nil : $0.bootID }
    headers.stamp = other == nil ? headers.stamp?.notInFuture : nil
    var decoded = try decode(try body(message, endpoint), headers, endpoint)
    decoded.request.callerBootID = other
    return decoded
  }

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
    // One configuration from the beginning to the end of a request.
    let configuration = settings.current
    var variables = try CallVariables(call.env, endpoint)
    // OVN-Kubernetes looks at the pod before the configuration, Multus the other way round.
    if endpoint == .ovn { _ = try PodIdentity(variables, endpoint, isRequired: true) }
    let (given, extra, fault) = try networkConfiguration(
      call, variables.command, endpoint, configuration)
    var network = given
    var environment = call.env.filter { Self.isPassedOn($0.key) }
    if variables.command == .add, !extra.isEmpty {
      variables.add(arguments: extra)
      environment["CNI_ARGS"] = variables.arguments
    }
    let (plugin, choiceError) = choose(network, configuration)
    if let plugin, let defaults = configuration.plugins[plugin.name] {
      do throws(CNIError) {
        network = try network.completed(with: defaults)
      } catch {
        guard variables.command == .delete else { throw error }
      }
    }
    // A DEL without it is told what to remove by the record.
    let isNeeded = variables.command != .delete && plugin?.needsPodIdentity(network) == true
    let isRequired = endpoint != .cni || isNeeded
    let isCollecting = variables.command == .garbageCollect
    let pod = try PodIdentity(variables, endpoint, isRequired: isRequired)
    return DecodedRequest(
      request: PodRequest(
        command: variables.command, podNamespace: pod.namespace, podName: pod.name, podUID: pod.uid,
        sandboxID: variables.containerID, netns: variables.netns, ifName: variables.ifName,
        arguments: pod.arguments, configuration: network,
        searchPath: configuration.searchPath(call.env),
        environment: environment,
        requestID: headers.requestID ?? "", stamp: headers.stamp ?? Stamp(bootID: bootID),
        deadline: deadline(headers, configuration)),
      endpoint: endpoint, plugin: plugin, choiceError: choiceError, fault: fault,
      otherNetworks: isCollecting ? plugin?.otherNetworks(of: network) ?? [] : [],
      caller: call.env[InnerCalls.variable])
  }

  /// Whether a variable is for the programs that plugins run: CNI's own, and the context of a
  /// trace.
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

  /// What the configuration says, and what is wrong with it where that may not matter.
  private func networkConfiguration(
    _ call: Request, _ command: CNICommand, _ endpoint: Endpoint, _ configuration: Configuration
  ) throws(CNIError) -> (NetworkConfiguration, arguments: [String], CNIError?) {
    let plain: NetworkConfiguration
    do throws(CNIError) {
      plain = try NetworkConfiguration(call.config)
    } catch {
      let fault = error.prefixed(
        by: endpoint == .ovn
          ? "broken stdin args: " : endpoint.argumentsPrefix + "failed to unmarshall CNI config: ")
      // A record may know all that a DEL needs.
      guard command == .delete, let rest = NetworkConfiguration(namesIn: call.config) else {
        throw fault
      }
      return (rest, [], fault)
    }
    do throws(CNIError) {
      guard endpoint == .delegate else {
        return (try plain.overridden(by: configuration.overrides), [], nil)
      }
      let (single, arguments) = try plain.asDelegate(with: call.interfaceAttributes)
      return (single, arguments, nil)
    } catch {
      // What no ADD can have made a DEL need not understand.
      guard command == .delete else { throw error }
      return (plain, [], nil)
    }
  }

  /// The choice by the configuration; its error only counts if no record says otherwise.
  private func choose(
    _ network: NetworkConfiguration, _ configuration: Configuration
  ) -> ((any NetworkPlugin)?, CNIError?) {
    do throws(CNIError) {
      return (try registry.choose(for: network, defaultPlugin: configuration.defaultPlugin), nil)
    } catch {
      return (nil, error)
    }
  }

  /// The daemon's own limit, or what the caller has left less the time for the way back: two
  /// seconds, or half of little.
  private func deadline(_ headers: RequestHeaders, _ configuration: Configuration) -> Deadline {
    let own = Deadline.after(seconds: configuration.requestTimeout)
    guard let left = headers.timeLeft else { return own }
    return own.capped(milliseconds: max(left - 2000, left / 2))
  }
}

extension Configuration {
  /// Where programs of plugins are looked for: the daemon's directories, then the absolute ones of
  /// CNI_PATH; each once.
  func searchPath(_ env: [String: String]) -> [String] {
    let given = env["CNI_PATH", default: ""].utf8.split(separator: 0x3A).map { String($0) ?? "" }
    var path: [String] = []
    for directory in binDirectories + given.filter({ $0.utf8.first == 0x2F }) {
      // CRI-O writes a slash behind it.
      let isRoot = directory.utf8.count == 1
      let plain = directory.hasSuffix("/") && !isRoot ? String(directory.dropLast()) : directory
      if !path.contains(plain) { path.append(plain) }
    }
    return path
  }
}
