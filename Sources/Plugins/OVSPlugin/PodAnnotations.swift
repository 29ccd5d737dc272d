import Addresses
import CNI
import JSON
import Workbench

/// The annotations of a pod, as the runtime gives them with the capability
/// `io.kubernetes.cri.pod-annotations`.
struct PodAnnotations: Sendable {
  /// The capability, and the key of `runtimeConfig`.
  static let capability = "io.kubernetes.cri.pod-annotations"
  /// The annotation of OVN-Kubernetes since 2019-12.
  static let networks = "k8s.ovn.org/pod-networks"
  /// The one before.
  static let older = "ovn"

  private let texts: JSONObject

  /// The annotations that a configuration holds; none is the same as an empty list.
  init(_ configuration: NetworkConfiguration) {
    texts = configuration.runtimeConfig?[Self.capability]?.object ?? JSONObject()
  }

  /// Whether a runtime is asked for the annotations, or gave them.
  static func isDeclared(_ configuration: NetworkConfiguration) -> Bool {
    configuration.declares(capability: capability)
      || configuration.runtimeConfig?[capability] != nil
  }

  // MARK: Addresses

  /// A pod's addresses as its annotation has them.
  struct Assignment: Sendable, Equatable {
    let mac: MACAddress
    /// Addresses with gateways, and routes; no interfaces.
    let result: CNIResult
  }

  /// Reads the addresses of one network.
  ///
  /// - Throws: code 11 if the annotation is not there yet, so that kubelet retries; 7 if
  ///   it cannot be read.
  func assignment(network: String, pod: String) throws(CNIError) -> Assignment {
    if let text = texts[Self.networks]?.string {
      let networks = try Self.object(in: text, of: Self.networks)
      if let entry = networks[network]?.object {
        return try Self.assignment(entry, path: network, of: Self.networks)
      }
    }
    if network == "default", let text = texts[Self.older]?.string {
      let entry = try Self.object(in: text, of: Self.older)
      return try Self.assignment(entry, path: "", of: Self.older)
    }
    throw CNIError(
      .tryAgainLater,
      "pod \(pod) has no annotation \(Self.networks) for network \(goQuoted(network))",
      details:
        "ovnkube has not assigned addresses yet; the runtime gave what it knew when the call began")
  }

  private static func object(
    in text: String, of annotation: String
  ) throws(CNIError) -> JSONObject {
    do throws(JSONError) {
      if let object = try JSONValue.parse(Array(text.utf8)).object { return object }
    } catch {
      throw CNIError(.invalidConfiguration, "pod annotation \(annotation): \(error)")
    }
    throw CNIError(.invalidConfiguration, "pod annotation \(annotation): not a JSON object")
  }

  /// One network's entry: `mac_address`; `ip_addresses`, which may be null, or `ip_address`;
  /// `gateway_ips` or `gateway_ip`; `routes`.
  private static func assignment(
    _ object: JSONObject, path: String, of annotation: String
  ) throws(CNIError) -> Assignment {
    let entry = MemberReader(object, path: path, CNIMembers("pod annotation \(annotation): "))
    let mac = try MACAddress(
      ofOneInterface: try entry.string("mac_address") ?? "",
      "pod annotation \(annotation): \(entry.at("mac_address"))")
    var texts = try entry.strings("ip_addresses")
    if texts.isEmpty, let one = try entry.nonEmpty("ip_address") { texts = [one] }
    var gatewayTexts = try entry.strings("gateway_ips")
    if gatewayTexts.isEmpty, let one = try entry.nonEmpty("gateway_ip") { gatewayTexts = [one] }
    // A network without address management has null there.
    let hasNone = object["ip_addresses"].map { $0.isNull || $0.array?.isEmpty == true } ?? false
    guard hasNone || !texts.isEmpty else { throw entry.invalid("ip_addresses", "missing") }
    var gateways: [IPAddress] = []
    for text in gatewayTexts {
      guard let gateway = IPAddress(text) else {
        throw entry.invalid("gateway_ips", "invalid IP address: \(text)")
      }
      gateways.append(gateway)
    }
    var ips: [CNIResult.IP] = []
    for text in texts {
      guard let address = IPNetwork(text) else {
        throw entry.invalid("ip_addresses", "invalid CIDR address: \(text)")
      }
      if address.address.isUnspecified || address.address.isMulticast {
        throw entry.invalid("ip_addresses", "\(address) is no address that a link can have")
      }
      ips.append(
        CNIResult.IP(
          address: address, gateway: gateways.first { $0.family == address.family }))
    }
    return Assignment(
      mac: mac, result: CNIResult(ips: ips, routes: try routes(entry, gateways)))
  }

  /// The routes that the annotation lists, and a default route for each gateway
  /// unless one is listed.
  private static func routes(
    _ entry: MemberReader, _ gateways: [IPAddress]
  ) throws(CNIError) -> [CNIResult.Route] {
    var routes: [CNIResult.Route] = []
    for route in try entry.readers("routes") {
      let hop = try route.ip("nextHop")
      routes.append(CNIResult.Route(dst: try route.network("dest"), gw: hop))
    }
    for gateway in gateways {
      let all = IPNetwork.all(gateway.family)
      if routes.contains(where: { $0.dst == all }) { continue }
      routes.append(CNIResult.Route(dst: all, gw: gateway))
    }
    return routes
  }

  // MARK: Bandwidth

  /// The limits of `kubernetes.io/ingress-bandwidth` and `kubernetes.io/egress-bandwidth`.
  ///
  /// - Throws: code 7 for what is no quantity, or out of range.
  func bandwidth() throws(CNIError) -> Bandwidth {
    var bandwidth = Bandwidth()
    bandwidth.ingress = try limit("kubernetes.io/ingress-bandwidth")
    bandwidth.egress = try limit("kubernetes.io/egress-bandwidth")
    return bandwidth
  }

  private func limit(_ annotation: String) throws(CNIError) -> Bandwidth.Limit? {
    guard let text = texts[annotation]?.string, !text.isEmpty else { return nil }
    guard let rate = quantity(text) else {
      throw CNIError(
        .invalidConfiguration, "pod annotation \(annotation): \(goQuoted(text)) is no quantity")
    }
    do throws(CNIError) {
      return try Bandwidth.Limit(rate: rate, burst: nil)
    } catch {
      throw error.prefixed(by: "pod annotation \(annotation): ")
    }
  }
}
