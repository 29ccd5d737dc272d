import Addresses
import JSON
import Linux
import TestSupport
import Testing

@testable import VRouterAgent

@Suite("Damaged answers of the agent")
struct FuzzTests {
  @Test("100 000 damaged answers do not trap, and what is kept of them is usable")
  func damaged() async {
    await #expect(processExitsWith: .success) {
      let seed = UInt64.random(in: .min ... .max)
      print("vRouter fuzz seed \(seed)")
      // The daemon's workers have stacks of 512 KiB.
      let read = await onThread(stackSize: 512 << 10) {
        fuzz(seed: seed, rounds: Program.rounds(100_000))
      }
      print("\(read) answers were read")
      precondition(
        read > Program.rounds(1_000), "too few inputs are still JSON for the test to mean anything")
    }
  }
}

private let corpus: [JSONValue] = [
  [Fixture.configured(Fixture.vmi0, "0/1")], [Fixture.ready(Fixture.vmi0)],
  [["id": "x", "annotations": ["{index:0/1}", "{a:b:c}", "{}"]]],
  [
    [
      "ip-address": "10.1.2.3", "plen": 24, "v6-ip-address": "fd00::1",
      "mac-address": "02:00:00:00:00:01",
    ]
  ],
  ["error": "{ Not Found }"],
]

private let tokens = [
  "{index:", "/", "{", "}", ":", "\"", "65535", "null", "[", "]", "annotations", "vm-uuid",
  "00000000-",
]

/// Reads damaged answers as each part of the module does; gives back how many of them were JSON.
private func fuzz(seed: UInt64, rounds: Int) -> Int {
  var mutator = Mutator(
    seed: seed, corpus: corpus.map(\.bytes), tokens: tokens.map { Array($0.utf8) })
  var read = 0
  for _ in 0..<rounds {
    let input = mutator.next()
    let text = AgentText.reason(input)
    precondition(!text.contains("\n") && text.utf8.count <= 3 * 1000 + 3)
    guard let value = try? JSONValue.parse(input) else { continue }
    read += 1
    let results = (value.array ?? [value]).map { VRouter.Result($0) }
    for result in results {
      precondition((0...32).contains(result.ipv4?.prefixLength ?? 0))
      precondition(result.mac?.isMulticast != true && result.vlanID != 65_535)
      if let index = result.annotations.index {
        precondition(index.number >= 0 && index.total > 0)
      }
    }
    if VRouter.lack(ofConfiguration: results, Fixture.pod) == nil {
      precondition(!results.isEmpty && results.allSatisfy { $0.id != .none })
      precondition(results.allSatisfy { $0.vmUUID == Fixture.pod })
    }
  }
  return read
}
