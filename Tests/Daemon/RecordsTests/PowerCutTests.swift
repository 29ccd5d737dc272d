import Linux
import PluginKit
import Records
import Testing
import TestSupport

/// What a daemon finds after a power cut.
private struct Found: Sendable {
  var whole = 0
  var kept = 0
  var files: [String] = []
  var log: [String] = []
}

@Suite("AttachmentStore: a power cut")
struct PowerCutTests {
  private static let old = FileTime(seconds: 1, nanoseconds: 0)

  @Test(
    "empty records of before this boot are removed and counted, others are damage",
    arguments: [".json", ".deleting"])
  func empty(suffix: String) throws {
    let state = try StateFixture()
    let record = AttachmentRecord(container: "a")
    try state.open().write(record)
    for name in ["lost", "gone"] {
      try state.put("", in: name + suffix)
      _ = try Files.stamp(state.path(name + suffix), modified: Self.old)
    }
    try state.put("", in: "new" + suffix)
    try state.put("{", in: "half" + suffix)
    _ = try Files.stamp(state.path("half" + suffix), modified: Self.old)
    #expect(try state.open().count == 1)
    let rest = ["half\(suffix).damaged", "new\(suffix).damaged"]
    #expect(state.files.filter { !$0.hasPrefix(AttachmentMark.value(of: record.key)) } == rest)
    #expect(state.log.text.contains("records that a power cut had emptied were removed count=2"))
  }

  @Test(
    "records that were sent to the disk are whole afterwards, and the next start is clean",
    .enabled(if: PowerCutDisk.impossible == nil, "\(PowerCutDisk.impossible ?? "")"))
  func cut() async throws {
    let directory = try TemporaryDirectory()
    let found = try await onThread {
      let disk = try PowerCutDisk(in: directory, commitSeconds: 300)
      return try Self.cut(disk, kept: 100, late: 20, names: false)
    }
    #expect(found.kept == 100)
    #expect(found.whole >= 100)
    #expect(found.files.count == found.whole)
  }

  @Test(
    "records whose names alone reached the disk are empty, and go",
    .enabled(if: PowerCutDisk.impossible == nil, "\(PowerCutDisk.impossible ?? "")"))
  func names() async throws {
    let directory = try TemporaryDirectory()
    let found = try await onThread {
      let disk = try PowerCutDisk(in: directory, commitSeconds: 300)
      return try Self.cut(disk, kept: 5, late: 20, names: true)
    }
    #expect(found.kept == 5)
    // The kernel may have written some of the later content as well.
    #expect(5..<25 ~= found.whole)
    #expect(found.files.count == found.whole)
    let removed = "had emptied were removed count=\(25 - found.whole)"
    #expect(found.log.contains { $0.contains(removed) })
  }

  /// Writes records, sends the first ones to the disk and perhaps the names of all, and cuts the
  /// power.
  private static func cut(
    _ disk: PowerCutDisk, kept: Int, late: Int, names: Bool
  ) throws -> Found {
    let keeper = Keeper()
    let state = disk.path + "/state"
    try Files.makeDirectory(state)
    let store = try AttachmentStore(stateDirectory: state, log: TestLog(), keeper: keeper)
    keeper.note(state)
    for number in 0..<kept { try write(number, store) }
    keeper.flush()
    for number in kept..<kept + late { try write(number, store) }
    let attachments = state + "/attachments"
    // The content stays in memory: the kernel writes it half a minute later.
    if names { try Files.synchronize(attachments) }
    try disk.cut()
    defer { try? disk.unmount() }
    // To the test this is the same boot.
    for name in try Files.list(attachments)
    where try Files.status("\(attachments)/\(name)").size == 0 {
      _ = try Files.stamp("\(attachments)/\(name)", modified: old)
    }
    let log = TestLog()
    let again = try AttachmentStore(stateDirectory: state, log: log)
    let numbers = again.records().compactMap { Int($0.key.containerID) }
    return Found(
      whole: numbers.count, kept: numbers.count { $0 < kept },
      files: TemporaryDirectory.files(below: attachments), log: log.lines)
  }

  /// As an ADD does: once with the plan, once with the result.
  private static func write(_ number: Int, _ store: AttachmentStore) throws {
    var record = AttachmentRecord(container: "\(number)")
    try store.write(record)
    record.phase = .attached
    try store.write(record)
  }
}
