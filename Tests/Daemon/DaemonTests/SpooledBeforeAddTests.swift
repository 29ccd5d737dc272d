import CNI
import DaemonAPI
import JSON
import Linux
import PluginKit
import TestSupport
import Testing

@Suite("A spooled DEL before an ADD of its interface")
struct SpooledBeforeAddTests {
  private let directory: TemporaryDirectory
  private let spool: String

  init() throws {
    directory = try TemporaryDirectory()
    spool = directory("run/spool")
  }

  /// Leaves a DEL in the spool.
  private func leave() throws {
    let variables = [
      "CNI_COMMAND": "DEL", "CNI_CONTAINERID": "some-container-id", "CNI_IFNAME": "eth0",
    ]
    let entry = try #require(
      SpoolEntry(
        Request(env: variables, config: Array(CNICall.network.utf8)), requestID: "spooled",
        stamp: Stamp.now))
    try Files.makeDirectories(spool, permissions: 0o700)
    try Files.write("\(spool)/\(entry.fileName)", entry.encoded(), mode: [.write, .create])
  }

  private func stamped(_ id: String) -> CNICall {
    CNICall(headers: [("X-Cnid-Request-Id", id), ("X-Cnid-Stamp", "\(Stamp.now)")])
  }

  @Test("a spooled DEL that fails does not keep a new ADD, and is tried again")
  func failingSpooled() async throws {
    let isStuck = Watched(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if call.record?.requestID == "r-1", isStuck.value {
          throw CNIError(.ipam, "backend broken")
        }
      }
    ])
    let earlier = try TestDaemon([plugin], in: directory)
    #expect(try await earlier.send(stamped("r-1")).status == 200)
    try await earlier.end()
    try leave()

    let daemon = try TestDaemon([plugin], in: directory)
    #expect(try await daemon.send(stamped("r-2")).status == 200)
    #expect(daemon.log.contains("a spooled DEL could not be done before a new ADD"))
    isStuck.change { $0 = false }
    #expect(try await becomes { TemporaryDirectory.files(below: spool).isEmpty })
    #expect(daemon.record()?.requestID == "r-2")
  }

  @Test("a spooled DEL that is tried again takes nothing of a newer network's attachment")
  func spooledOfOther() async throws {
    let isStuck = Watched(true)
    let plugin = RecordingPlugin(others: [
      .delete: { call throws(CNIError) in
        if isStuck.value { throw CNIError(.ipam, "backend broken") }
      }
    ])
    try leave()
    let daemon = try TestDaemon([plugin], in: directory)
    let other = #"{"cniVersion":"1.1.0","name":"other","type":"recorder"}"#
    #expect(try await daemon.send(CNICall("ADD", other)).status == 200)
    let deletes = plugin.calls(.delete).count
    isStuck.change { $0 = false }
    #expect(try await becomes { TemporaryDirectory.files(below: spool).isEmpty })
    #expect(plugin.calls(.delete).count == deletes)
    #expect(daemon.log.contains("a DEL is older than what is attached to its interface"))
  }
}
