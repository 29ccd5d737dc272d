import Addresses
import CNI
import JSON
import Linux
import TestSupport
import Testing

@testable import MacvlanPlugin

@Suite("macvlan ADD with IPv6")
struct IPv6Tests {
  private func ipam(_ address: String) -> JSONValue {
    [
      "type": "static",
      "addresses": [
        ["address": .string(address), "gateway": "2001:db8::1"], ["address": "10.1.2.2/24"],
      ],
      "routes": [["dst": "::/0"]],
    ]
  }

  private func states(_ pod: TestPod) async throws -> [JSONValue] {
    try await pod.network.show("address", "show", "dev", "eth0").flatMap {
      $0["addr_info"]?.array ?? []
    }.filter { $0["family"]?.string == "inet6" && $0["scope"]?.string == "global" }
  }

  @Test(
    "ADD ends when the kernel has found the address unique; with dad: skip at once",
    arguments: [
      "wait", "skip",
    ])
  func detection(dad: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.add(
      pod, try node.configuration(["ipam": ipam("2001:db8::2/64"), "dad": .string(dad)]))
    let states = try await states(pod)
    #expect(states.count == 1 && states.first?["tentative"] == nil)
    #expect((states.first?["nodad"] != nil) == (dad == "skip"))
    #expect(node.steps.contains("awaitAddresses") == (dad == "wait"))
    #expect(try await pod.network.routes("-6").contains { $0.hasPrefix("default via 2001:db8::1") })
    let keep = try await pod.network.run(["cat", "/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down"])
    #expect(keep.text == "1\n")
  }

  @Test("On a parent without carrier ADD does not wait; the detection is done when one comes")
  func carrier() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.network.ip("link set wire down")
    let began = KernelClock.monotonic
    try await node.add(pod, try node.configuration(["ipam": ipam("2001:db8::2/64")]))
    #expect(KernelClock.monotonic - began < UInt64(4_500_000_000 * Program.patience))
    #expect(try await states(pod).first?["tentative"] != nil)
    try await node.network.ip("link set wire up")
    let wrong = try await settled(within: 20_000) {
      try await states(pod).first?["tentative"] == nil ? [] : ["still tentative"]
    }
    #expect(wrong == [])
  }

  @Test("An address that another host has is an error, and nothing stays")
  func duplicate() async throws {
    let node = try await MacvlanNode()
    let (first, second) = (try await TestPod(), try await TestPod())
    let configuration = try node.configuration(["ipam": ipam("2001:db8::2/64")])
    try await node.add(first, configuration)
    let error = try await failure { try await node.add(second, configuration) }
    #expect(error?.code == .kernel)
    #expect(error?.message == "duplicate address detected: 2001:db8::2 on \"eth0\"")
    #expect(try await second.network.links() == [])
    #expect(try await first.network.links() == ["eth0"])
  }

  @Test("IPv6 that is switched off in the pod is switched on for its link and loopback")
  func disabled() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    for link in ["all", "default", "lo"] {
      let write = ["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/\(link)/disable_ipv6"]
      #expect(try await pod.network.run(write).succeeded)
    }
    try await node.add(
      pod, try node.configuration(["ipam": ipam("2001:db8::2/64"), "dad": "skip"]))
    for link in ["lo", "eth0"] {
      let path = "/proc/sys/net/ipv6/conf/\(link)/disable_ipv6"
      #expect(try await pod.network.run(["cat", path]).text == "0\n")
    }
    #expect(try await pod.network.addresses("eth0") == ["10.1.2.2/24", "2001:db8::2/64"])
  }

  /// Makes duplicate address detection take a minute and a half.
  private func slowDetection(_ pod: TestPod) async throws {
    let path = "/proc/sys/net/ipv6/conf/default/dad_transmits"
    _ = try await pod.network.run(["sh", "-c", "echo 90 > \(path)"])
  }

  @Test("Without an answer from the kernel ADD ends after five seconds, and nothing stays")
  func undecided() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await slowDetection(pod)
    let error = try await failure {
      try await node.add(pod, try node.configuration(["ipam": ipam("2001:db8::2/64")]))
    }
    #expect(error?.message == "link eth0 still has tentative addresses after 5 seconds")
    #expect(error?.details == "2001:db8::2")
    #expect(try await pod.network.links() == [])
  }

  @Test("The wait ends with the request's deadline, which names the step")
  func deadline() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await slowDetection(pod)
    var options = CallOptions()
    // Less than the five seconds after which the wait itself ends.
    options.deadline = .after(milliseconds: 4500)
    let error = try await failure {
      try await node.add(pod, try node.configuration(["ipam": ipam("2001:db8::2/64")]), options)
    }
    #expect(error?.code == .deadline)
    #expect(error?.message == "deadline passed in step macvlan.awaitAddresses")
    #expect(try await pod.network.links() == [])
  }
}
