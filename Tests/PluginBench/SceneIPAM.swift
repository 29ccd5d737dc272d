package import JSON
import Linux
package import TestSupport

/// The address management of a scene's network: host-local, or a plugin on disk that keeps its
/// leases as files.
package struct SceneIPAM: Sendable {
  package let configuration: JSONValue
  private let node: TestNode
  private let isOnDisk: Bool

  package init(_ node: TestNode, _ situation: String) throws {
    self.node = node
    isOnDisk = situation == "IPAM on disk"
    configuration =
      switch situation {
      case "IPAM on disk": ["type": "on-disk"]
      case "IPv6": ["type": "host-local", "subnet": "2001:db8:1::/64"]
      case "routes":
        ["type": "host-local", "subnet": "10.1.2.0/24", "routes": [["dst": "198.51.100.0/24"]]]
      default: ["type": "host-local", "subnet": "10.1.2.0/24"]
      }
    try Files.makeDirectories(node.directory("bin"))
    try Files.write(
      node.directory("bin/on-disk"), Array(Self.script(node.directory("disk")).utf8),
      mode: [.write, .create], permissions: 0o755)
  }

  private static func script(_ leases: String) -> String {
    """
    #!/bin/sh
    mkdir -p \(leases)
    case $CNI_COMMAND in
    ADD) echo $CNI_IFNAME > \(leases)/$CNI_CONTAINERID
      echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.7.0.2/16"}]}' ;;
    DEL) rm -f \(leases)/$CNI_CONTAINERID ;;
    esac
    """
  }

  package var environment: [String: String?] { ["CNI_PATH": node.directory("bin")] }

  /// What the plugin on disk has given out.
  package var leases: [String] { TemporaryDirectory.files(below: node.directory("disk")) }

  /// A lease of host-local that has lost its record.
  package func litter() throws {
    if isOnDisk { return }
    try Files.write(
      "\(node.dataDirectory)/pods/10.1.2.77", Array("long-gone\r\neth0".utf8),
      mode: [.write, .create])
  }

  /// With a route that the kernel refuses.
  package static let refused: JSONValue = [
    "type": "host-local", "subnet": "10.1.2.0/24",
    "routes": [["dst": "15.5.6.0/24", "gw": "192.0.2.1"]],
  ]

  /// One address, or the refused route by name.
  package static func faults(of answer: ProgramResult, _ verb: BenchVerb) -> [String] {
    switch verb {
    case .add:
      let count = answer.json?["ips"]?.array?.count
      return count == 1 ? [] : ["addresses: \(count ?? 0)"]
    case .failingAdd:
      return answer.message?.contains("15.5.6.0/24") == true ? [] : ["not the route's refusal"]
    default: return []
    }
  }
}
