import JSON
import Linux
import PluginKit
import Records
import Testing

@Suite("AttachmentStore: a removal that has begun is another file name")
struct DeletingTests {
  private let state: StateFixture
  private let record: AttachmentRecord
  private let mark: String

  init() throws {
    state = try StateFixture()
    var record = AttachmentRecord(container: "a")
    record.phase = .attached
    self.record = record
    mark = AttachmentMark.value(of: record.key)
    try state.open().write(record)
  }

  @Test("its file is renamed, and the phase is deleting, now and after a restart")
  func rename() throws {
    let store = try state.open()
    let inode = try Files.status(state.path("\(mark).json")).inode
    try store.beginDeleting(record.key)
    try store.beginDeleting(record.key)
    #expect(state.files == ["\(mark).deleting"])
    #expect(try Files.status(state.path("\(mark).deleting")).inode == inode)
    for store in [store, try state.open()] {
      #expect(store.record(record.key)?.phase == .deleting)
      #expect(store.summary(of: record.key)?.phase == .deleting)
      #expect(store.unfinished() == [record.key])
      #expect(store.count == 1)
    }
  }

  @Test("what is not recorded cannot be begun, and what has begun can be removed, twice")
  func remove() throws {
    let store = try state.open()
    try store.beginDeleting(AttachmentRecord(container: "b").key)
    try store.beginDeleting(record.key)
    try store.remove(record.key)
    try store.remove(record.key)
    #expect(state.files.isEmpty)
    #expect(store.count == 0)
    #expect(store.record(record.key) == nil)
  }

  @Test("an ADD of the same key takes the place of a removal that has begun")
  func addAgain() throws {
    let store = try state.open()
    try store.beginDeleting(record.key)
    let new = AttachmentRecord(container: "a")
    try store.write(new)
    #expect(state.files == ["\(mark).json"])
    #expect(store.record(record.key) == new)
    #expect(try state.open().record(record.key) == new)
  }

  @Test("a record that is written while its removal runs stays one that is being removed")
  func writeMeanwhile() throws {
    let store = try state.open()
    try store.beginDeleting(record.key)
    var changed = try #require(store.record(record.key))
    changed.notes["a"] = 1
    try store.write(changed)
    #expect(state.files == ["\(mark).deleting"])
    #expect(try state.open().record(record.key) == changed)
  }

  @Test("of two files of one key the one without the suffix counts, for only a newer ADD makes it")
  func both() throws {
    let store = try state.open()
    let old = try Files.read(state.path("\(mark).json"))
    try store.beginDeleting(record.key)
    let new = AttachmentRecord(container: "a")
    try store.write(new)
    // As after a crash between the two calls of that write.
    try state.put(String(decoding: old, as: UTF8.self), in: "\(mark).deleting")
    let again = try state.open()
    #expect(state.files == ["\(mark).json"])
    #expect(again.record(record.key) == new)
    #expect(again.count == 1)
  }

  @Test("if the newer of the two is damaged the older one counts")
  func damagedNewer() throws {
    try state.open().beginDeleting(record.key)
    try state.put("{", in: "\(mark).json")
    let store = try state.open()
    #expect(store.record(record.key)?.phase == .deleting)
    #expect(state.files == ["\(mark).deleting", "\(mark).json.damaged"])
  }

  @Test(
    "the suffix counts, whatever phase the content says",
    arguments: AttachmentRecord.Phase.allCases)
  func suffix(phase: AttachmentRecord.Phase) throws {
    var record = record
    record.phase = phase
    try state.open().write(record)
    try Files.rename(state.path("\(mark).json"), state.path("\(mark).deleting"))
    #expect(try state.open().record(record.key)?.phase == .deleting)
  }
}
