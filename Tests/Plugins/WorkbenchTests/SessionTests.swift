import CNI
import JSON
import Linux
import Netlink
import PluginKit
import Testing
import TestSupport
import Workbench

@Suite("Workbench: one call's session")
struct SessionTests {
  /// What an ADD is refused with before anything is changed.
  private func refusal(_ bench: Bench, _ request: PodRequest) async throws -> CNIError? {
    try await bench.node.run {
      do throws(CNIError) {
        _ = try PodSession.attaching(request)
        return nil
      } catch {
        return error
      }
    }
  }

  @Test("The node's own namespace is refused with code 8, unless the caller insists")
  func ownNamespace() async throws {
    let bench = try await Bench()
    let own = bench.node.path
    #expect(try await refusal(bench, bench.request(netns: own))?.code == .invalidNamespace)
    let insisting = try bench.request(netns: own, environment: ["CNI_NETNS_OVERRIDE": "true"])
    #expect(try await refusal(bench, insisting) == nil)
  }

  @Test("An interface that is there already is refused with code 4 and stays")
  func existingLink() async throws {
    let bench = try await Bench()
    try await bench.pod.ip("link add eth0 type bridge")
    let error = try await refusal(bench, try bench.request())
    #expect(error?.code == .invalidEnvironment)
    #expect(error?.message == "interface \"eth0\" already exists in \(bench.pod.path)")
    #expect(try await bench.pod.links() == ["eth0"])
  }

  @Test("A path that leads to no namespace is refused with code 4", arguments: ["/nowhere", ""])
  func noNamespace(path: String) async throws {
    let bench = try await Bench()
    #expect(
      try await refusal(bench, try bench.request(netns: path))?.code == .invalidEnvironment)
  }

  @Test("A name that another takes in the last moment is said to be taken, whichever end has it")
  func takenName() async throws {
    for (place, message) in [("pod", "already exists in"), ("node", "cannot make")] {
      let bench = try await Bench()
      let call = bench.call(try bench.request())
      let taken = Locked(false)
      let error = try await bench.node.run { () throws -> CNIError? in
        do throws(CNIError) {
          var session = try PodSession.attaching(call.request)
          try call.journal.perform(.first) { permit throws(CNIError) in
            let bridge = NewLink(name: place == "pod" ? "eth0" : "near", kind: .bridge)
            try session.apply([.createLink(bridge)], on: place == "pod" ? .pod : .node, permit)
            taken.withLock { $0 = true }
            let far = NewLink.Peer(name: "eth0", namespace: session.podDescriptor)
            try session.create(
              NewLink(name: "near", kind: .veth(peer: far)), as: "eth0", doing: "cannot make it",
              permit)
          }
          return nil
        } catch {
          return error
        }
      }
      #expect(taken.value)
      #expect(error?.message.contains(message) == true, "\(place): \(String(describing: error))")
    }
  }

  @Test("A mark is set on either side, and the node's link gets no IPv6 address")
  func marks() async throws {
    let bench = try await Bench()
    let call = bench.call(try bench.request())
    try await bench.node.run {
      var session = try PodSession.attaching(call.request)
      try call.journal.perform(.first) { permit throws(CNIError) in
        let far = NewLink.Peer(name: "eth0", namespace: session.podDescriptor)
        try session.create(
          NewLink(name: "near", kind: .veth(peer: far)), as: "eth0", doing: "no pair", permit)
        try session.mark(try session.node.made("near"), on: .node, isUp: true, permit)
        try session.mark(try session.pod.made("eth0"), on: .pod, isUp: true, permit)
      }
    }
    for (place, name) in [(bench.node, "near"), (bench.pod, "eth0")] {
      let link = try await place.link(name)
      #expect(link?["ifalias"]?.string == "cnid:box/eth0")
    }
    #expect(try await bench.node.link("near")?["inet6_addr_gen_mode"]?.string == "none")
  }

  @Test("The thread is in the node's namespace afterwards, whatever was opened")
  func atHome() async throws {
    let bench = try await Bench()
    let request = try bench.request()
    let cookies = try await bench.node.run { () throws -> [UInt64] in
      let before = try NetlinkSocket().namespaceCookie()
      let session = try PodSession(request)
      return [before, try NetlinkSocket().namespaceCookie(), try session.node.cookie()]
    }
    #expect(Set(cookies).count == 1)
  }
}
