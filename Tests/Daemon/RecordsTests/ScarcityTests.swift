import CNI
import Linux
import PluginKit
import Records
import TestSupport
import Testing

@Suite("Records without descriptors")
struct ScarcityTests {
  @Test("A record that cannot be read now is neither damaged nor gone, and the error is code 11")
  func record() async {
    await #expect(processExitsWith: .success) {
      let state = try StateFixture()
      let store = try state.open()
      let record = AttachmentRecord(
        key: AttachmentKey(network: "net", containerID: "c", ifName: "eth0", plugin: "p"),
        configuration: [], environment: [:], origin: "cni", requestID: "", stamp: Stamp.now)
      try store.write(record)
      let files = state.files
      let code = try withDescriptors(more: 0) { () throws -> Int in
        do throws(CNIError) {
          _ = try store.readable(record.key)
          return 0
        } catch {
          return error.code.rawValue
        }
      }
      guard code == 11, state.files == files, try store.readable(record.key) == record else {
        fatalError("\(code) \(state.files)")
      }
    }
  }

  @Test("A record whose stamp is later than now is of the moment at which it was read")
  func future() throws {
    let state = try StateFixture()
    let before = KernelClock.boot
    let record = AttachmentRecord(
      key: AttachmentKey(network: "net", containerID: "c", ifName: "eth0", plugin: "p"),
      configuration: [], environment: [:], origin: "cni", requestID: "",
      stamp: Stamp(bootID: Stamp.now.bootID, nanoseconds: before + 3_600_000_000_000))
    try state.open().write(record)
    let store = try state.open()
    let seen = try #require(store.record(record.key)).stamp
    #expect((before...KernelClock.boot).contains(seen.nanoseconds))
    #expect(store.record(record.key)?.stamp == seen)
  }
}
