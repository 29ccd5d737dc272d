import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Many calls at an agent that lets all of them wait.
@Suite(.daemonLog) struct CrowdTests {
  private func identity(_ number: Int) -> PodIdentity {
    PodIdentity("default", "crowd-\(number)", "\(100 + number)c7a1e-3b52-4d68-9a41-0c2b7de91f34")
  }

  /// Starts so many calls, more than run at once, that wait for the agent.
  private func crowd(
    _ command: String, _ pods: [TestPod], _ network: JSONValue, _ here: VRouterNode
  ) async throws -> [ProgramResult] {
    try await withThrowingTaskGroup(of: ProgramResult.self) { group in
      for (number, pod) in pods.enumerated() {
        group.addTask { try await here.shim(command, pod, network, as: identity(number)) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
  }

  private func pods(_ count: Int) async throws -> [TestPod] {
    var pods: [TestPod] = []
    for number in 0..<count { pods.append(try await TestPod("crowd\(number)")) }
    return pods
  }

  @Test(
    "forty ADDs that wait for a hanging agent keep no other network's call waiting, and all fail in time"
  )
  func adds() async throws {
    try await withVRouterNode { here in
      let pods = try await pods(40)
      let other = try await TestPod("other")
      let before = try await here.state(pods + [other])
      here.agent.script("GET", "/vm-cfg", [.hang])
      let network = here.network(["add-timeout": 15])
      async let crowd = crowd("ADD", pods, network, here)
      let asked = try await eventually(within: 20_000) { here.agent.requests.count >= 40 }
      #expect(asked)
      let began = KernelClock.monotonic
      for _ in 0..<3 {
        try await here.node.add(other, here.node.macvlan())
        try await here.node.delete(other, here.node.macvlan())
      }
      let milliseconds = (KernelClock.monotonic - began) / 1_000_000
      #expect(milliseconds < 12_000 * UInt64(Program.patience))
      let ended = try await crowd
      #expect(ended.allSatisfy { $0.isFailure && $0.code == 11 }, "\(ended[0])")
      #expect(ended.allSatisfy { $0.message?.contains("no answer in time") == true }, "\(ended[0])")
      #expect(try await here.leftovers(since: before, pods + [other]) == [])
    }
  }

  @Test(
    "forty DELs at a hanging agent all succeed in seconds, and the agent hears of each when it is back"
  )
  func deletes() async throws {
    try await withVRouterNode { here in
      let pods = try await pods(40)
      let before = try await here.state(pods)
      for number in pods.indices {
        var port = Fixture.interface(Fixture.vmi0)
        port.id = "\(1000 + number)9c52-8e1f-11ee-9c2a-525400a1b2c3"
        let (identity, made) = (identity(number), port)
        here.agent.change {
          $0.configure("k8s__default__\(identity.name)", uuid: identity.uid, [made])
        }
      }
      let network = here.network(top: ["daemonTimeout": .number(JSONNumber(30 * Program.patience))])
      let added = try await crowd("ADD", pods, network, here)
      #expect(added.allSatisfy { $0.succeeded }, "\(added[0])")
      #expect(here.agent.subscriptions.count == 40)
      here.agent.script("DELETE", "/vm", [.hang])
      let began = KernelClock.monotonic
      let deleted = try await crowd("DEL", pods, network, here)
      #expect(deleted.allSatisfy { $0.succeeded }, "\(deleted[0])")
      let seconds = (KernelClock.monotonic - began) / 1_000_000_000
      #expect(seconds < 30 * UInt64(Program.patience))
      #expect(try await here.taps() == [])
      #expect(TemporaryDirectory.files(below: here.ports) == [])
      #expect(here.node.records.count == 40)
      here.agent.script("DELETE", "/vm", [.memory])
      #expect(try await here.leftovers(since: before, pods, within: 60_000) == [])
    }
  }
}
