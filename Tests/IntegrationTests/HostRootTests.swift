import JSON
import Linux
import TestSupport
import Testing

/// A daemon in a container, whose host is mounted elsewhere.
@Suite(.daemonLog) struct HostRootTests {
  @Test("Executed plugins are the host's: found below hostRoot, run with it as their root")
  func executed() async throws {
    let host = try await onThread { try TestRoot() }
    try host.write(
      "/opt/cni/bin/fake",
      """
      #!/bin/sh
      cd .. && echo $CNI_COMMAND $PWD >>/ran
      [ $CNI_COMMAND = ADD ] || exit 0
      echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.9/24"}]}'

      """, permissions: 0o755)
    let options = TestNode.Options(settings: [
      "hostRoot": .string(host.directory.path), "binDirs": ["/opt/cni/bin"],
    ])
    try await withTestNode(options) { node in
      let pod = try await TestPod()
      let configuration = node.macvlan(["ipam": ["type": "fake"]])
      let added = try await node.add(pod, configuration)
      #expect(added.at("ips", 0, "address") == "10.1.2.9/24")
      try await node.delete(pod, configuration)
      #expect(try Files.read(host.directory("ran")) == Array("ADD /\nDEL /\n".utf8))
      // One that only the daemon's own root has.
      let missing = try await node.shim(
        "ADD", pod, node.macvlan(["ipam": ["type": "host-device"]]))
      #expect(missing.message?.contains("below \(host.directory.path)") == true, "\(missing)")
      #expect(try await pod.network.links() == [])
    }
  }
}
