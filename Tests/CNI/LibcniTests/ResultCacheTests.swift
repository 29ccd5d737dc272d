import CNI
import JSON
import Libcni
import Linux
import TestSupport
import Testing

@Suite("The result cache of libcni")
struct ResultCacheTests {
  private let directory: TemporaryDirectory
  private let cache: ResultCache

  init() throws {
    directory = try TemporaryDirectory()
    cache = ResultCache(directory: directory.path)
  }

  private var attachment: CachedAttachment {
    CachedAttachment(
      network: "net", containerID: "c1", ifName: "eth0", netns: "/run/netns/x",
      arguments: [CNIArgument("IgnoreUnknown", "1"), CNIArgument("K8S_POD_NAME", "p")],
      offered: JSONObject([("mac", "02:00:00:00:00:01")]), list: Array(#"{"name":"net"}"#.utf8),
      result: JSONObject([("cniVersion", "1.0.0"), ("ips", [["address": "10.0.0.2/24"]])]))
  }

  private func put(_ text: String, in name: String) throws {
    try Files.makeDirectories(directory("results"))
    try Files.write(directory("results/\(name)"), Array(text.utf8), mode: [.write, .create])
  }

  private var kept: CachedAttachment? {
    cache.attachment(network: "net", containerID: "c1", ifName: "eth0")
  }

  @Test("What is kept is read again, and its file is as libcni writes it")
  func whole() throws {
    try cache.write(attachment)
    #expect(kept == attachment)
    let text = #"""
      {"kind":"cniCacheV1","containerId":"c1","config":"eyJuYW1lIjoibmV0In0=","ifName":"eth0",\#
      "networkName":"net","netns":"/run/netns/x","cniArgs":[["IgnoreUnknown","1"],\#
      ["K8S_POD_NAME","p"]],"capabilityArgs":{"mac":"02:00:00:00:00:01"},\#
      "result":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}}
      """#
    #expect(try Files.read(directory("results/net-c1-eth0")) == Array(text.utf8))
    #expect(try Files.status(directory("results/net-c1-eth0")).permissions == 0o600)
    #expect(try Files.status(directory("results")).permissions == 0o700)
  }

  @Test("What was not given is not written, and nothing else is left after it is forgotten")
  func little() throws {
    try cache.write(CachedAttachment(network: "net", containerID: "c1", ifName: "eth0"))
    let text =
      #"{"kind":"cniCacheV1","containerId":"c1","config":"","ifName":"eth0","networkName":"net"}"#
    #expect(try Files.read(directory("results/net-c1-eth0")) == Array(text.utf8))
    try cache.remove(network: "net", containerID: "c1", ifName: "eth0")
    try cache.remove(network: "net", containerID: "c1", ifName: "eth0")
    #expect(TemporaryDirectory.files(below: directory.path) == [])
    #expect(kept == nil)
  }

  @Test("A bare result, as old runtimes kept it, counts as one")
  func bare() throws {
    try put(
      #"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/24"}]}"#,
      in: "net-c1-eth0")
    let list = try NetworkList(
      parsing: Array(#"{"name":"net","cniVersion":"1.0.0","plugins":[{"type":"a"}]}"#.utf8))
    #expect(try kept?.result(in: list)?.ips.count == 1)
  }

  @Test(
    "What cannot be read is as nothing",
    arguments: ["", "{", "[]", #"{"kind":"other","result":{}}"#])
  func unreadable(text: String) throws {
    try put(text, in: "net-c1-eth0")
    #expect(kept == nil)
    #expect(try cache.attachments() == [])
  }

  @Test("All attachments, or one container's, without what is no attachment")
  func all() throws {
    #expect(try cache.attachments() == [])
    for (container, ifName) in [("c1", "eth0"), ("c1", "net1"), ("c2", "eth0")] {
      try cache.write(
        CachedAttachment(network: "net", containerID: container, ifName: ifName))
    }
    try put("{", in: "net-c1-net2")
    try put(
      #"{"kind":"cniCacheV1","containerId":"c1","ifName":"net3","networkName":"net"}"#,
      in: "net-c1-net3.tmp")
    try put(#"{"kind":"cniCacheV1","containerId":"c1","ifName":"e","networkName":""}"#, in: "x")
    #expect(try cache.attachments().map(\.ifName) == ["eth0", "net1", "eth0"])
    #expect(try cache.attachments(of: "c1").map(\.ifName) == ["eth0", "net1"])
  }

  @Test("A directory that cannot be read is an error, not an empty one")
  func unreadableDirectory() throws {
    try Files.write(directory("results"), [], mode: [.write, .create])
    #expect(throws: CNIError.self) { try cache.attachments() }
    #expect(throws: CNIError.self) { try cache.write(attachment) }
  }
}
