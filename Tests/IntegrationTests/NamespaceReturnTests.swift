import PluginBench
import JSON
import Linux
import TestSupport
import Testing

/// The daemon enters a pod's namespace only to open sockets; here the way back is barred.
@Suite(
  .daemonLog,
  .shippedPrograms("a sanitizer makes system calls of its own, and does not bear to fail"))
struct NamespaceReturnTests {
  @Test("A thread that cannot come back ends the daemon with one line; the next one leaves nothing")
  func cannotReturn() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let input = node.macvlan()
      let short = input.setting("daemonTimeout", 5)
      // The first setns(2) of a thread enters; all that follow fail.
      let strace = try await Strace(node, inject: "setns:error=EPERM:when=2+")
      async let call = node.shim("ADD", pod, short)
      let died = try await becomes { node.daemon?.status == .signalled(9) }
      #expect(died, "the daemon runs on: \(String(describing: node.daemon?.status))")
      _ = try? await strace.end()
      #expect(node.log.contains("a thread cannot leave a pod's network namespace"))
      try await node.start()
      _ = try await call
      #expect(try await node.shim("DEL", pod, input).succeeded)
      #expect(try await pod.network.links().isEmpty)
      #expect(node.leases.isEmpty && node.records.isEmpty)
      #expect(try await node.shim("ADD", pod, input).succeeded)
      #expect(try await node.shim("DEL", pod, input).succeeded)
    }
  }

  @Test("A way back that is barred once or twice is tried again, and nobody notices")
  func returnsLater() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let strace = try await Strace(node, inject: "setns:error=EPERM:when=2..3")
      let run = try await node.shim("ADD", pod, node.macvlan())
      let trace = try await strace.end()
      #expect(run.succeeded, "\(run)")
      #expect(trace.contains("INJECTED"))
      #expect(node.daemon?.status == nil)
      #expect(try await node.shim("DEL", pod, node.macvlan()).succeeded)
    }
  }
}
