import Addresses
package import CNI
import JSON
import Linux
import Netlink
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Joins the pod to the bridge.
  ///
  /// Everything that can be wrong with the request is found before the plan is recorded. What fails
  /// afterwards is undone by `delete`.
  package func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    let (request, defaults) = try completedByFile(call.request, call.host)
    let previous = try request.configuration.prevResult()
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    let annotations = PodAnnotations(request.configuration)
    let assigned = try assignment(configuration, annotations, request)
    let fixed = try request.withFixedAddresses()
    let addresses = assigned == nil ? addressing(fixed, call.host) : Addressing()
    let port = try call.waiting { () throws(CNIError) in
      try openSwitch(configuration.database, call.host).planned(configuration, request)
    }
    var attachment = try PortAttachment(
      port, try limits(configuration, annotations), mac: configuration.mac ?? assigned?.mac,
      call.host)
    try addresses.prepare()
    try call.claim(attachment.names)
    let journal = try call.record(
      plan: attachment.plan(addresses.plan, defaults), namespace: try attachment.identity())

    var (leased, pair) = try addresses.take(given: assigned?.result ?? CNIResult(), journal) {
      leased throws(CNIError) in try attachment.create(for: leased, journal)
    }
    let added = try attachment.connect(pair, leased, journal)
    try attachment.configure(&pair, added, leased, journal)
    return request.result(attachment.interfaces(pair), leased, after: previous)
  }

  /// The request with the defaults of the file, and what those are.
  func completedByFile(
    _ request: PodRequest, _ host: PluginHost
  ) throws(CNIError) -> (PodRequest, JSONObject) {
    var request = request
    try checkDatabase(request, host)
    let defaults = try ConfigurationFile.defaults(for: request.configuration, host.paths)
    request.configuration = try request.configuration.completed(with: defaults)
    return (request, defaults)
  }

  /// The addresses of the pod's annotation, where the configuration takes them from there.
  private func assignment(
    _ configuration: OVSConfiguration, _ annotations: PodAnnotations, _ request: PodRequest
  ) throws(CNIError) -> PodAnnotations.Assignment? {
    guard configuration.addresses == .annotation else { return nil }
    guard PodAnnotations.isDeclared(request.configuration) else {
      throw CNIError(
        .invalidConfiguration,
        "addresses come from the pod's annotation, but the network does not declare the capability "
          + goQuoted(PodAnnotations.capability),
        details: "add \"capabilities\": {\"\(PodAnnotations.capability)\": true} to the network")
    }
    return try annotations.assignment(
      network: configuration.annotatedNetwork, pod: request.title)
  }

  /// The pod's limits: the runtime's, else the annotations', each way by itself.
  func limits(
    _ configuration: OVSConfiguration, _ annotations: PodAnnotations
  ) throws(CNIError) -> Bandwidth {
    let annotated = try annotations.bandwidth()
    var limits = configuration.bandwidth ?? annotated
    limits.ingress = limits.ingress ?? annotated.ingress
    limits.egress = limits.egress ?? annotated.egress
    return limits
  }
}

extension PodRequest {
  /// The request with static address management where none is configured and addresses are
  /// given all the same.
  func withFixedAddresses() throws(CNIError) -> PodRequest {
    guard configuration.ipamType == nil else { return self }
    let isGiven =
      configuration.runtimeConfig?.value(inAnyCase: "ips")?.array?.isEmpty == false
      || configuration.cniArgs?.value(inAnyCase: "ips")?.array?.isEmpty == false
      || arguments["IP"]?.isEmpty == false
    guard isGiven else { return self }
    var request = self
    request.configuration = try configuration.replacing([("ipam", ["type": "static"])])
    return request
  }
}
