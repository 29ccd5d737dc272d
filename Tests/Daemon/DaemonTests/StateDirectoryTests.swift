import CNI
import Daemon
import Linux
import PluginKit
import Testing
import TestSupport

/// What a test on a private disk saw.
private struct Outcome: Sendable {
  var errors: [CNIError?] = []
  var files: [[String]] = []
}

@Suite("CommandHandler: a state directory that is full or read-only")
struct StateDirectoryTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test("read-only: ADD fails with code 5 before any effect, and leaves nothing")
  func readOnlyAdd() async throws {
    let plugin = RecordingPlugin()
    let outcome = try await onThread { () throws -> Outcome in
      let disk = try PrivateDisk(plugin, in: directory)
      try disk.makeReadOnly()
      return Outcome(errors: [disk.handle(CNICall())], files: [disk.files])
    }
    let error = try #require(outcome.errors[0])
    #expect(error.code == .ioFailure)
    #expect(
      error.message == "cannot record the attachment some-container-id/eth0 (net, recorder)")
    #expect(error.details.contains("EROFS"))
    #expect(outcome.files == [[]])
    #expect(plugin.calls(.delete).isEmpty)
  }

  @Test("full: ADD fails with code 5 before any effect, and leaves nothing")
  func fullAdd() async throws {
    let plugin = RecordingPlugin()
    let outcome = try await onThread { () throws -> Outcome in
      let disk = try PrivateDisk(plugin, in: directory)
      try disk.fill()
      return Outcome(errors: [disk.handle(CNICall())], files: [disk.files])
    }
    #expect(outcome.errors[0]?.code == .ioFailure)
    #expect(outcome.errors[0]?.details.contains("ENOSPC") == true)
    #expect(outcome.files == [[]])
    #expect(plugin.calls(.delete).isEmpty)
  }

  @Test("full only when ADD has made everything: it is undone, code 5, nothing is left")
  func fullAfterwards() async throws {
    let disk = Watched("")
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      _ = try RecordingPlugin.make(call)
      try? PrivateDisk.fill(disk.value)
      return RecordingPlugin.result
    })
    let outcome = try await onThread { () throws -> Outcome in
      let mounted = try PrivateDisk(plugin, in: directory)
      disk.change { $0 = mounted.stateDirectory }
      return Outcome(errors: [mounted.handle(CNICall())], files: [mounted.files])
    }
    #expect(outcome.errors[0]?.code == .ioFailure)
    #expect(outcome.files == [[]])
    #expect(plugin.calls(.delete).count == 1)
  }

  @Test("full: DEL works and removes the record")
  func fullDelete() async throws {
    let plugin = RecordingPlugin()
    let outcome = try await onThread { () throws -> Outcome in
      let disk = try PrivateDisk(plugin, in: directory)
      let added = disk.handle(CNICall())
      try disk.fill()
      let files = disk.files
      let deleted = disk.handle(CNICall("DEL"))
      return Outcome(errors: [added, deleted], files: [files, disk.files])
    }
    #expect(outcome.errors == [nil, nil])
    #expect(outcome.files[0].count == 1)
    #expect(outcome.files[1] == [])
    #expect(plugin.calls(.delete).first?.record != nil)
  }

  @Test("read-only: DEL works, again and again; the record that cannot go is told to the log")
  func readOnlyDelete() async throws {
    let plugin = RecordingPlugin()
    let (outcome, log) = try await onThread { () throws -> (Outcome, String) in
      let disk = try PrivateDisk(plugin, in: directory)
      let added = disk.handle(CNICall())
      try disk.makeReadOnly()
      let deleted = [disk.handle(CNICall("DEL")), disk.handle(CNICall("DEL"))]
      let log = try Files.read(directory("log"))
      return (
        Outcome(errors: [added] + deleted, files: [disk.files]),
        String(decoding: log, as: UTF8.self)
      )
    }
    #expect(outcome.errors == [nil, nil, nil])
    #expect(outcome.files[0].count == 1)
    #expect(plugin.calls(.delete).count == 2)
    #expect(log.contains("the record of a removed attachment stays"))
    #expect(log.contains("EROFS"))
  }

  @Test("read-only: GC removes what is not listed")
  func readOnlyGarbageCollection() async throws {
    let plugin = RecordingPlugin()
    let outcome = try await onThread { () throws -> Outcome in
      let disk = try PrivateDisk(plugin, in: directory)
      let added = disk.handle(CNICall())
      try disk.makeReadOnly()
      return Outcome(errors: [added, disk.handle(.garbageCollection([]))])
    }
    #expect(outcome.errors == [nil, nil])
    #expect(plugin.calls(.delete).count == 1)
  }
}
