import JSON
import Linux
import TestSupport
import Testing

/// Turns with a real libcni, that of containerd, in one network: each side deletes what the other
/// has added, and knows it by what the other has remembered.
@Suite(.daemonLog) struct RealLibcniTests {
  private static let witness = """
    cat > "$SEEN/$CNI_COMMAND.new" && mv "$SEEN/$CNI_COMMAND.new" "$SEEN/$CNI_COMMAND"
    [ $CNI_COMMAND != ADD ] || jq -c .prevResult "$SEEN/ADD"
    """

  @Test(
    "What containerd has added is deleted here by its cache, and the other way round", .containerd)
  func turns() async throws {
    try await withSetNode { here in
      let node = here.node
      let (plugins, seen) = (try TemporaryDirectory(), try TemporaryDirectory())
      try plugins.install("witness", "SEEN=\(seen.path)\n" + Self.witness)
      let list: JSONValue = [here.bridge("cni9", "10.5.0.0/24"), ["type": "witness"]]
      let before = try await node.snapshot()

      let runtime = ContainerRuntime(node)
      defer { runtime.end() }
      try Files.makeDirectories(runtime.networks)
      let theirs: JSONValue = ["cniVersion": "1.0.0", "name": "pods", "plugins": list]
      try Files.write(
        "\(runtime.networks)/10-pods.conflist", theirs.bytes, mode: [.write, .create])
      let id = "c-\(try Unique.word())"
      let call = try await runtime.run(id, plugins: plugins.path)
      let file = "\(runtime.cache)/results/pods-\(ContainerRuntime.containerID(id))-eth0"
      let isAdded = try await eventually(within: 60_000) {
        // libcni writes it in place.
        call.status != nil || JSONValue(text: Self.text(file))["result"] != nil
      }
      try #require(isAdded && call.status == nil, "\(runtime.log)")

      // Theirs, deleted by us.
      let added = try #require(JSONValue(text: Self.text(file))["result"])
      let netns = try #require(added.at("interfaces", 2, "sandbox")?.string)
      #expect(node.leases == ["pods/10.5.0.2"])
      let pod = try await TestPod()
      let container: [String: String?] = [
        "CNI_CONTAINERID": ContainerRuntime.containerID(id), "CNI_NETNS": netns,
        "CNI_PATH": "\(plugins.path):\(Program.referencePlugins)",
      ]
      let ours = here.network(["plugins": list])
      try await node.delete(pod, ours, container)
      #expect(Self.previous(seen("DEL")) == Self.sorted(added))
      #expect(node.leases == [] && here.cached == [] && node.records == [])
      #expect(try await node.network.links() == ["cni9", "uplink", "wire"])

      // Ours, deleted by them.
      let again = try await node.add(pod, ours, container)
      #expect(here.cached == ["results/pods-\(ContainerRuntime.containerID(id))-eth0"])
      try Files.remove(seen("DEL"))
      let process = try #require(
        netns.split(separator: "/").dropFirst().first.flatMap { Int32($0) })
      try Signal.kill.send(to: process)
      let status = try await call.ended(within: 60_000)
      #expect(status == .exited(137), "\(runtime.log)")
      #expect(Self.previous(seen("DEL")) == Self.sorted(again))
      #expect(node.leases == [] && here.cached == [])

      // What is theirs by now is no error for us.
      try await node.delete(pod, ours, container)
      try await node.network.ip("link delete cni9")
      #expect(try await node.leftovers(since: before) == [])
    }
  }

  /// The result that a plugin got with its DEL.
  private static func previous(_ path: String) -> String {
    sorted(JSONValue(text: text(path))["prevResult"] ?? .null)
  }

  /// Without the empty `dns` that only Go's programs write.
  private static func sorted(_ result: JSONValue) -> String {
    let rest = result.setting("dns", nil)
    return String(decoding: rest.encoded(.indented(1, sorted: true)), as: UTF8.self)
  }

  private static func text(_ path: String) -> String {
    String(decoding: (try? Files.read(path)) ?? [], as: UTF8.self)
  }
}
