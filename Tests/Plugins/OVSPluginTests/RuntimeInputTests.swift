import JSON
import TestSupport
import Testing

/// What container runtimes really send, as it was recorded on nodes.
@Suite("Standard input of runtimes", .daemonLog, .openVSwitch)
struct RuntimeInputTests {
  struct Recording: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let runtimeConfig: String
    /// The list in CNI_PATH, and the order of CNI_ARGS.
    let path: String
    let arguments: String
  }

  /// Of go-cni, whose types have no names for JSON; and of ocicni.
  static let all = [
    Recording(
      testDescription: "containerd",
      runtimeConfig: #"""
        {"bandwidth":{"IngressRate":10000000,"IngressBurst":4294967295,"EgressRate":20000000,
         "EgressBurst":4294967295},
         "dns":{"Servers":["10.96.0.10"],"Searches":["default.svc.cluster.local"],
         "Options":["ndots:5"]},
         "portMappings":[{"HostPort":18080,"ContainerPort":8080,"Protocol":"tcp","HostIP":""}],
         "io.kubernetes.cri.pod-annotations":{"kubernetes.io/config.source":"api"}}
        """#,
      path: "/opt/cni/bin",
      arguments: "K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=ID;K8S_POD_UID=8f0e;"
        + "IgnoreUnknown=1;K8S_POD_NAMESPACE=default"),
    Recording(
      testDescription: "CRI-O",
      runtimeConfig: #"""
        {"bandwidth":{"ingressRate":10000000,"ingressBurst":34359738360,"egressRate":20000000,
         "egressBurst":34359738360},
         "cgroupPath":"/kubepods.slice/kubepods-pod8f0e.slice",
         "io.kubernetes.cri.pod-annotations":{"kubernetes.io/config.source":"api"}}
        """#,
      path: "/opt/cni/bin/",
      arguments: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
        + "K8S_POD_INFRA_CONTAINER_ID=ID;K8S_POD_UID=8f0e"),
  ]

  @Test("Its limits are in force, nothing in it is a key that nobody knows", arguments: all)
  func understood(recording: Recording) async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let capabilities: JSONValue = [
        "bandwidth": true, "dns": true, "portMappings": true, "cgroupPath": true,
      ]
      let network = here.network([
        "capabilities": capabilities.setting("io.kubernetes.cri.pod-annotations", true),
        "ipam": ["type": "host-local", "subnet": "10.1.2.0/24"],
        "runtimeConfig": JSONValue(text: recording.runtimeConfig),
      ])
      let environment = [
        "CNI_PATH": recording.path,
        "CNI_ARGS": recording.arguments.replacing("=ID", with: "=\(pod.containerID)"),
      ]
      let result = try await here.node.add(pod, network, environment)
      let interface = try #require(try await here.interface(of: pod))
      #expect(interface.text("ingress_policing_rate") == "20000")
      #expect(try await here.ovs.records("QoS").count == 1)
      let checked = network.setting("prevResult", result)
      let check = try await here.node.shim("CHECK", pod, checked, environment)
      #expect(check.succeeded, "\(check)")
      let delete = try await here.node.shim("DEL", pod, checked, environment)
      #expect(delete.succeeded, "\(delete)")
      // As containerd repeats it.
      try await here.node.delete(pod, network, environment.merging(["CNI_NETNS": ""]) { $1 })
      #expect(!here.node.log.contains("unknown key"), "\(here.node.log)")
      #expect(try await here.ovs.ports("br0") == [] && here.node.leases == [])
    }
  }
}
