import JSON
import Linux
import TestSupport

@testable import VRouterAgent

/// The identities of the field's own examples.
enum Fixture {
  static let pod = uuid("5f0c7a1e-3b52-4d68-9a41-0c2b7de91f34")
  static let other = uuid("d1f1802e-3b52-4d68-9a41-0c2b7de91f34")
  static let vmi0 = uuid("0b6d9c52-8e1f-11ee-9c2a-525400a1b2c3")
  static let vmi1 = uuid("0b6d9c53-8e1f-11ee-9c2a-525400a1b2c3")
  static let vn0 = uuid("3d1f0a77-52c4-4c1d-8a55-6a2f0d1b9e10")
  static let name = "k8s__default__web-0"
  static let container = String(repeating: "a1", count: 32)

  static func uuid(_ text: String) -> VRouterUUID { VRouterUUID(text) ?? .none }

  /// The port of the pod's first interface.
  static let port = VRouter.Port(
    containerID: container, name: name, hostLink: "tapeth0-5f0c7a", ifName: "eth0",
    netns: "/var/run/netns/x", uuid: pod, network: vn0, interface: vmi0)

  /// An element of an answer of `/vm-cfg`.
  static func configured(
    _ id: VRouterUUID, _ index: String, vm: VRouterUUID = pod, network: String = "default"
  ) -> JSONValue {
    [
      "id": .string(id.text), "vm-uuid": .string(vm.text), "vn-id": .string(vn0.text),
      "vn-name": "default-domain:k8s-default:k8s-default-pod-network",
      "mac-address": "02:0b:6d:9c:52:8e", "sub-interface": false, "vlan-id": 65535,
      "annotations": [
        "{cluster:k8s}", .string("{index:\(index)}"), "{kind:Pod}", "{name:web-0}",
        "{namespace:default}", .string("{network:\(network)}"), "{owner:k8s}",
        "{project:k8s-default}",
      ],
    ]
  }

  /// An element of an answer of `/vm`.
  static func ready(_ id: VRouterUUID, vm: VRouterUUID = pod) -> JSONValue {
    [
      "id": .string(id.text), "instance-id": .string(vm.text), "vn-id": .string(vn0.text),
      "vm-project-id": "00000000-0000-0000-0000-000000000000", "mac-address": "02:0b:6d:9c:52:8e",
      "system-name": "tapeth0-5f0c7a", "rx-vlan-id": 65535, "tx-vlan-id": 65535,
      "vhostuser-mode": 0, "ip-address": "10.47.255.231", "plen": 12,
      "dns-server": "10.47.255.253", "gateway": "10.47.255.254", "author": "contrail-vrouter-agent",
      "time": "460818:14:49.935126",
    ]
  }
}

extension Result where Failure == VRouterError {
  var reason: VRouterError.Reason? {
    if case .failure(let error) = self { error.reason } else { nil }
  }
}
