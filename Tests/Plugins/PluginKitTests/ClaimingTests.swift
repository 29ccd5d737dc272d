import CNI
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("AddCall: outside names")
struct ClaimingTests {
  private let name = OutsideName(kind: "iface-id", scope: "db", value: "default_web")

  /// A store in which another sandbox of the pod has the name since a time.
  private func store(_ nanoseconds: UInt64, boot: String = "boot") -> MemoryStore {
    let key = AttachmentKey(network: "net", containerID: "other", ifName: "eth0", plugin: "p")
    let stamp = Stamp(bootID: boot, nanoseconds: nanoseconds)
    return MemoryStore(holders: [name: NameHolder(key: key, stamp: stamp, isAttached: true)])
  }

  private func call(_ store: MemoryStore) throws(CNIError) -> AddCall<NamedPlugin.Step> {
    try addCall(request(.add, try configuration()), plugin: "p", store: store)
  }

  @Test("an ADD that is older than the name's holder is refused, and nothing is recorded")
  func older() throws {
    let store = store(8)
    let call = try call(store)
    #expect(
      throws: CNIError(
        .tryAgainLater, "superseded by sandbox other, whose ADD is newer",
        details: "iface-id default_web")
    ) { try call.claim([name]) }
    #expect(store.written.isEmpty)
  }

  @Test("a newer one takes it, whatever boot the holder is of", arguments: ["boot", "another"])
  func newer(boot: String) throws {
    let store = store(boot == "boot" ? 6 : .max, boot: boot)
    let call = try call(store)
    try call.claim([name])
    _ = try call.record(plan: [], namespace: nil)
    #expect(store.written.map(\.names) == [[name]])
  }

  @Test("a name that nobody has, and no name, are no reason to wait", arguments: [0, 1])
  func free(count: Int) throws {
    let store = MemoryStore()
    let call = try call(store)
    let names = count == 0 ? [] : Set([name])
    #expect(try call.claim(names).isEmpty)
    _ = try call.record(plan: [], namespace: nil)
    #expect(store.written.map(\.names) == [names])
  }

  @Test("attachments that are still being released are told of")
  func releasing() throws {
    let store = MemoryStore()
    var old = draft(request(.add, try configuration()), plugin: "p")
    old.phase = .deleting
    old.names = [name]
    try store.write(old)
    #expect(try call(store).claim([name]) == [old])
  }
}
