import CNI
@testable import Daemon
import JSON
import Linux
import PluginKit
import Records
import TestSupport
import Testing

/// A program that a killed daemon of a state directory has left behind.
private final class Leftover: Sendable {
  private let process: ChildProcess

  init(of state: String) throws {
    var hash = FNV1a()
    hash.combine(state)
    process = try ChildProcess(
      executable: "/bin/sleep", arguments: ["sleep", "1000"],
      environment: ["CNID_DAEMON=\(hash.text).0123", "PATH=/bin"])
    let environ = "/proc/\(process.pid)/environ"
    while (try? Files.read(environ))?.starts(with: "CNID_DAEMON=".utf8) != true {
      Clock.pause(milliseconds: 1)
    }
  }

  deinit { process.kill() }

  var runs: Bool {
    (try? Deadline.after(milliseconds: 0).wait(process.descriptor, for: .read, "look")) == nil
  }
}

@Suite("Programs of a daemon that was killed")
struct OldProgramsTests {
  private let directory: TemporaryDirectory
  private let state: String

  init() throws {
    directory = try TemporaryDirectory()
    state = directory("state")
    try Files.makeDirectories(state)
  }

  /// Writes a record whose lease is of a type.
  private func record(
    _ phase: AttachmentRecord.Phase, lease: String, boot: String = Stamp.now.bootID
  ) throws {
    var configuration = Configuration()
    configuration.logFile = directory("log")
    let store = try AttachmentStore(stateDirectory: state, log: try Log(configuration))
    var record = AttachmentRecord(container: "old", boot: boot)
    record.phase = phase
    record.namespace = NamespaceIdentity(cookie: 1, id: 7)
    record.configuration = Array(CNICall.network.utf8)
    record.plan = [PlannedResource("lease", [("type", .string(lease))])]
    try store.write(record)
  }

  @Test(
    "What such a program may make again is removed only after its end",
    arguments: ["recovery", "DEL", "ADD in another namespace"])
  func first(by verb: String) async throws {
    try record(verb == "recovery" ? .adding : .attached, lease: "slow")
    let leftover = try Leftover(of: state)
    let seen = Locked<[Bool]>([])
    let plugin = RecordingPlugin(others: [
      .delete: { _ in seen.withLock { $0.append(leftover.runs) } }
    ])
    let daemon = try TestDaemon([plugin], in: directory)
    if verb != "recovery" {
      let call = CNICall(
        String(verb.prefix(3)), container: "old", netns: "/proc/thread-self/ns/net")
      #expect(try await daemon.send(call).status == 200)
    }
    #expect(await plugin.hasCalls(.delete))
    #expect(try await becomes { seen.value == [false] })
    #expect(daemon.log.contains("programs that the last cnid had left running were killed"))
  }

  @Test(
    "Without a record of this boot that says so, nothing is looked for",
    arguments: [("host-local", nil), ("static", nil), ("slow", "another-boot")])
  func noReason(lease: String, boot: String?) async throws {
    try record(.deleting, lease: lease, boot: boot ?? Stamp.now.bootID)
    let leftover = try Leftover(of: state)
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin], in: directory)
    #expect(await plugin.hasCalls(.delete))
    #expect(daemon.server.hasEndedPrograms)
    #expect(leftover.runs)
  }

  @Test("Programs of this daemon and of other state directories stay")
  func others() async throws {
    try record(.attached, lease: "slow")
    let other = try Leftover(of: directory("other"))
    let daemon = try TestDaemon([RecordingPlugin()], in: directory)
    #expect(try await becomes { daemon.server.hasEndedPrograms })
    let own = try ChildProcess(
      executable: "/bin/sleep", arguments: ["sleep", "1000"],
      environment: ["CNID_DAEMON=\(daemon.store.daemonMark)"])
    #expect(try daemon.store.endOldPrograms(deadline: soon) == 0)
    #expect(other.runs)
    own.kill()
  }
}
