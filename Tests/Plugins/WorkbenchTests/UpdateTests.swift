import CNI
import JSON
import Linux
import Netlink
import PluginKit
import Testing
import TestSupport
import Workbench

@Suite("Workbench: UPDATE changes all or nothing")
struct UpdateTests {
  /// What an update of the MTU of `near` and `eth0` came to.
  private struct Outcome: Sendable {
    let error: CNIError?
    let steps: [String]
    let near: Int?
    let far: Int?
  }

  /// Sets both MTUs, and does one more thing that may fail.
  private func update(_ last: CNIError?) async throws -> Outcome {
    let bench = try await Bench()
    let call = bench.call(try bench.request())
    let error = try await bench.node.run { () throws -> CNIError? in
      var session = try PodSession.attaching(call.request)
      try call.journal.perform(.createLink) { permit throws(CNIError) in
        let far = NewLink.Peer(name: "eth0", namespace: session.podDescriptor)
        try session.create(
          NewLink(name: "near", kind: .veth(peer: far)), as: "eth0", doing: "no pair", permit)
      }
      let links = [
        Reversible(try session.node.made("near"), on: .node, mtu: 1400),
        Reversible(try session.pod.made("eth0"), on: .pod, mtu: 1400),
      ]
      let stubborn = Reversible { _, _ throws(CNIError) in
      } back: { _, _ throws(CNIError) in
        throw CNIError(.kernel, "never back")
      }
      let end = Reversible { _, _ throws(CNIError) in
        if let last { throw last }
      } back: { _, _ throws(CNIError) in
      }
      do throws(CNIError) {
        try session.update(
          [(.second, stubborn)] + links.map { (.first, $0) } + [(.second, end)],
          restore: .restore, call.journal)
        return nil
      } catch {
        return error
      }
    }
    return Outcome(
      error: error, steps: Array(bench.steps.dropFirst()),
      near: try await bench.node.link("near")?["mtu"]?.int,
      far: try await bench.pod.link("eth0")?["mtu"]?.int)
  }

  @Test("Changes of one step that follow each other are one step")
  func done() async throws {
    let outcome = try await update(nil)
    #expect(outcome.error == nil)
    #expect(outcome.steps == ["second", "first", "second"])
    #expect(outcome.near == 1400 && outcome.far == 1400)
  }

  @Test("A refusal is what the caller is told, with what could not go back; all the rest has")
  func refused() async throws {
    let refusal = CNIError(.openVSwitch, "refused")
    let outcome = try await update(refusal)
    #expect(outcome.error?.message == refusal.message)
    #expect(outcome.error?.details == "not all was put back: never back")
    #expect(outcome.steps == ["second", "first", "second", "restore"])
    #expect(outcome.near == 1500 && outcome.far == 1500)
  }
}
