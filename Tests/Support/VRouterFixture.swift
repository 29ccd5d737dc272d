public import FakeVRouter
public import JSON

/// The pod of the specification's examples: `default/web-0` of cluster `k8s`, with up to
/// three interfaces.
public enum VRouterFixture {
  /// The pod's uid, which is the virtual machine's uuid.
  public static let podUID = "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f34"
  /// The virtual machine's name.
  public static let name = "k8s__default__web-0"
  /// The ids of the interfaces.
  public static let vmi0 = "0b6d9c52-8e1f-11ee-9c2a-525400a1b2c3"
  /// The second.
  public static let vmi1 = "0b6d9c53-8e1f-11ee-9c2a-525400a1b2c3"
  /// The third.
  public static let vmi2 = "0b6d9c54-8e1f-11ee-9c2a-525400a1b2c3"
  /// The ids of the networks.
  public static let vn0 = "3d1f0a77-52c4-4c1d-8a55-6a2f0d1b9e10"
  /// The second.
  public static let vn1 = "3d1f0a78-52c4-4c1d-8a55-6a2f0d1b9e10"
  /// The first container id.
  public static let c1 = String(repeating: "a1", count: 32)
  /// The second container id.
  public static let c2 = String(repeating: "b2", count: 32)

  /// One interface as the control plane has it.
  ///
  /// - Parameters:
  ///   - id: one of the ids above; it says which address and network the interface has.
  ///   - index: its number.
  ///   - total: how many interfaces the pod has.
  ///   - network: `default`, or a NetworkAttachmentDefinition's name.
  ///   - name: the name in the pod that the user asked for; nil for none.
  /// - Returns: the interface.
  public static func interface(
    _ id: String, _ index: Int = 0, of total: Int = 1, _ network: String = "default",
    named name: String? = nil
  ) -> AgentInterface {
    let annotations = AgentInterface.annotations(
      index, of: total, network: network, interface: name)
    if id == vmi0 {
      return AgentInterface(
        id: id, network: vn0, mac: "02:0b:6d:9c:52:8e", annotations: annotations,
        ipv4: .init("10.47.255.231", 12, gateway: "10.47.255.254", nameServer: "10.47.255.253"))
    }
    let last = id == vmi1 ? 3 : 4
    return AgentInterface(
      id: id, network: vn1, mac: "02:0b:6d:9c:5\(last):8e", annotations: annotations,
      ipv4: .init("20.1.1.\(last)", 24, gateway: "20.1.1.1", nameServer: "20.1.1.2"))
  }

  /// The object of `GET /vm-cfg`: CFG(v,i/n,net[,ifn]).
  public static func cfg(
    _ id: String, _ index: Int = 0, of total: Int = 1, _ network: String = "default",
    named name: String? = nil
  ) -> JSONValue {
    interface(id, index, of: total, network, named: name).configuration(vm: podUID)
  }

  /// The object of `GET /vm`: VM(v).
  public static func vm(_ id: String, hostLink: String = "tapeth0-5f0c7a") -> JSONValue {
    interface(id).port(vm: podUID, hostLink: hostLink)
  }

  /// The interfaces of CFG1: one.
  public static var one: [AgentInterface] { [interface(vmi0)] }
  /// The interfaces of CFG2: one in the pod network, one in `net-a`.
  public static var two: [AgentInterface] {
    [interface(vmi0, 0, of: 2), interface(vmi1, 1, of: 2, "net-a")]
  }
}

/// Who a pod is to Kubernetes.
public struct PodIdentity: Sendable {
  /// Its namespace, its name and its uid.
  public var namespace, name, uid: String

  /// The pod of the specification's examples.
  public static let web0 = PodIdentity("default", "web-0", VRouterFixture.podUID)

  /// Names a pod.
  public init(_ namespace: String, _ name: String, _ uid: String) {
    self.namespace = namespace
    self.name = name
    self.uid = uid
  }

  /// `CNI_ARGS` as a runtime gives them.
  public func arguments(_ containerID: String) -> String {
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=\(namespace);K8S_POD_NAME=\(name);"
      + "K8S_POD_INFRA_CONTAINER_ID=\(containerID);K8S_POD_UID=\(uid)"
  }
}
