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
      await Fuzz(
        100_000, texts: corpus.map { String(decoding: $0.bytes, as: UTF8.self) }, words: tokens,
        accepting: 1_000
      ).run(isRead)
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

/// Whether a damaged text is read.
private func isRead(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  let text = AgentText.reason(input)
  precondition(!text.contains("\n") && text.utf8.count <= 3 * 1000 + 3)
  guard let value = try? JSONValue.parse(input) else { return false }
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
  return true
}
