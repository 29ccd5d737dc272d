import CNI
import Linux
import PluginKit
import Records
import Testing
import TestSupport

/// A state directory, opened again and again.
struct StateFixture {
  let directory: TemporaryDirectory
  let log = TestLog()

  init() throws {
    directory = try TemporaryDirectory()
    try Files.makeDirectory(directory("state"))
  }

  func open() throws(StartError) -> AttachmentStore {
    try AttachmentStore(stateDirectory: directory("state"), log: log)
  }

  var files: [String] { TemporaryDirectory.files(below: directory("state/attachments")) }

  func path(_ file: String) -> String { directory("state/attachments/\(file)") }

  func put(_ text: String, in file: String) throws {
    try Files.write(path(file), Array(text.utf8), mode: [.write, .create, .truncate])
  }

  /// The error of opening it.
  func failure() -> String? {
    do throws(StartError) {
      _ = try open()
      return nil
    } catch {
      return error.description
    }
  }
}

@Suite("AttachmentStore")
struct AttachmentStoreTests {
  @Test("the directory is made, 0700; records are files of root alone, 0600")
  func permissions() throws {
    let state = try StateFixture()
    let store = try state.open()
    #expect(try Files.status(state.directory("state/attachments")).permissions == 0o700)
    try store.write(AttachmentRecord(container: "a"))
    #expect(try Files.status(state.path(try #require(state.files.first))).permissions == 0o600)
  }

  @Test("what was written is found again by the next process")
  func reload() throws {
    let state = try StateFixture()
    let store = try state.open()
    var records = [
      AttachmentRecord(container: "a"), AttachmentRecord(container: "a", ifName: "net1"),
      AttachmentRecord(network: "other", container: "a"),
      AttachmentRecord(container: "a", plugin: "example.org/p"),
      AttachmentRecord(container: String(repeating: "long", count: 100)),
    ]
    records[0].phase = .attached
    for record in records { try store.write(record) }
    let again = try state.open()
    #expect(again.count == 5)
    for record in records { #expect(again.record(record.key) == record) }
    #expect(
      Set(again.keys(containerID: "a", ifName: "eth0", network: "net").map(\.plugin))
        == ["recorder", "example.org/p"])
    #expect(again.roots(network: "net").count == 4)
    #expect(again.roots(network: "nothing").isEmpty)
    #expect(again.keys(containerID: "b", ifName: "eth0", network: "net").isEmpty)
  }

  @Test("writing replaces the record of the same key, removing forgets it, twice")
  func replaceAndRemove() throws {
    let state = try StateFixture()
    let store = try state.open()
    var record = AttachmentRecord(container: "a")
    try store.write(record)
    record.phase = .attached
    try store.write(record)
    #expect(store.record(record.key)?.phase == .attached)
    #expect(store.count == 1)
    #expect(state.files.count == 1)
    try store.remove(record.key)
    try store.remove(record.key)
    #expect(store.record(record.key) == nil)
    #expect(store.roots(network: "net").isEmpty)
    #expect(store.count == 0)
    #expect(state.files.isEmpty)
  }

  @Test("a record of another boot has lost its namespace, for the kernel counts anew")
  func otherBoot() throws {
    let state = try StateFixture()
    let store = try state.open()
    var record = AttachmentRecord(container: "a")
    record.namespace = NamespaceIdentity(cookie: 5)
    try store.write(record)
    #expect(store.record(record.key)?.namespace == NamespaceIdentity(cookie: 5))
    var old = AttachmentRecord(
      key: AttachmentRecord(container: "b").key, configuration: [], environment: [:],
      origin: "cni", requestID: "", stamp: Stamp(bootID: "another-boot", nanoseconds: 1))
    old.namespace = NamespaceIdentity(cookie: 5)
    try store.write(old)
    let read = try #require(store.record(old.key))
    #expect(read.namespace == nil)
  }

  @Test(
    "a damaged file is set aside and told to the log; the others are read",
    arguments: ["", "{", "[]", "\u{0}", #"{"version":1}"#, "{}"])
  func damaged(text: String) throws {
    let state = try StateFixture()
    let store = try state.open()
    try store.write(AttachmentRecord(container: "a"))
    try state.put(text, in: "0123.json")
    let again = try state.open()
    #expect(again.count == 1)
    #expect(again.damagedCount == 1)
    #expect(state.files.contains("0123.json.damaged"))
    #expect(!state.files.contains("0123.json"))
    #expect(state.log.text.contains("a damaged record was set aside"))
    #expect(state.log.text.contains("0123.json"))
    // What was set aside stays as it is.
    #expect(try state.open().count == 1)
    #expect(try Files.read(state.path("0123.json.damaged")) == Array(text.utf8))
  }

  @Test("a directory that vanishes under the store is made again, and said to have been gone")
  func vanishedDirectory() throws {
    let state = try StateFixture()
    let store = try state.open()
    try store.write(AttachmentRecord(container: "a"))
    TemporaryDirectory.removeTree(state.directory("state/attachments"))
    try store.write(AttachmentRecord(container: "b"))
    #expect(state.files.count == 1)
    #expect(state.log.text.contains("the directory of records was gone"))
    #expect(store.record(AttachmentRecord(container: "a").key) == nil)
    #expect(store.record(AttachmentRecord(container: "b").key) != nil)
    try store.remove(AttachmentRecord(container: "a").key)
  }

  @Test("a record under another's name, and what is no file, are set aside too")
  func foreign() throws {
    let state = try StateFixture()
    let store = try state.open()
    try store.write(AttachmentRecord(container: "a"))
    let file = try #require(state.files.first)
    try Files.rename(state.path(file), state.path("copy.json"))
    try Files.makeDirectory(state.path("directory.json"))
    let again = try state.open()
    #expect(again.count == 0)
    #expect(state.files == ["copy.json.damaged"])
    #expect(try Files.status(state.path("directory.json.damaged")).kind == .directory)
  }

  @Test(
    "a record of a newer program refuses to start, and is left as it is",
    arguments: ["0123.json", "0123.deleting"])
  func newer(file: String) throws {
    let state = try StateFixture()
    _ = try state.open()
    try state.put(#"{"version":99,"new":true}"#, in: file)
    #expect(
      state.failure()
        == "\(state.path(file)): record of version 99, this program knows 2; install a cnid that "
        + "knows version 99, or move the file away (its attachment is then removed by its marks "
        + "at DEL)")
    #expect(state.files == [file])
  }

  @Test("a record of an older program is used, and its file written anew only when it changes")
  func older() throws {
    let state = try StateFixture()
    var record = AttachmentRecord(container: "a")
    try state.open().write(record)
    let file = try #require(state.files.first)
    let old = String(decoding: record.encoded(), as: UTF8.self).replacing(
      #""version":2,"readableFrom":2,"#, with: #""version":1,"#)
    try state.put(old, in: file)
    let store = try state.open()
    #expect(store.record(record.key) == record)
    #expect(try Files.read(state.path(file)) == Array(old.utf8))
    record.phase = .attached
    try store.write(record)
    #expect(try Files.read(state.path(file)) == record.encoded())
  }

  @Test("a part's place changes the name of its file; without a place it is what it always was")
  func place() throws {
    let state = try StateFixture()
    let store = try state.open()
    let own = AttachmentRecord(container: "a")
    try store.write(own)
    #expect(state.files == ["\(AttachmentMark.value(of: own.key)).json"])
    let fixed = AttachmentKey(network: "n", containerID: "c", ifName: "i", plugin: "p")
    #expect(AttachmentMark.value(of: fixed) == "169b564b9a659b1fd0d48f481b885561")
    try store.write(AttachmentRecord(container: "a", place: "net.0"))
    #expect(state.files.count == 2)
    #expect(try state.open().count == 2)
  }

  @Test("temporary files of a process that died are removed, other files are left alone")
  func temporary() throws {
    let state = try StateFixture()
    let store = try state.open()
    try store.write(AttachmentRecord(container: "a"))
    try state.put("{", in: "0123.json.tmp")
    try state.put("mine", in: "README")
    let again = try state.open()
    #expect(again.count == 1)
    #expect(!state.files.contains("0123.json.tmp"))
    #expect(state.files.contains("README"))
  }

  @Test("a file that vanishes or is damaged while the daemon runs is no record any more")
  func meanwhile() throws {
    let state = try StateFixture()
    let store = try state.open()
    let (a, b) = (AttachmentRecord(container: "a"), AttachmentRecord(container: "b"))
    try store.write(a)
    let file = try #require(state.files.first)
    try Files.remove(state.path(file))
    #expect(store.record(a.key) == nil)
    #expect(store.count == 0)
    try store.write(b)
    let other = try #require(state.files.first)
    try state.put("{", in: other)
    #expect(store.record(b.key) == nil)
    #expect(store.count == 0)
    #expect(state.files == ["\(other).damaged"])
    // The place is free for the next one.
    try store.write(b)
    #expect(store.record(b.key) == b)
  }

  @Test("a state directory that cannot be used is an error that names it")
  func unusable() throws {
    let state = try StateFixture()
    try Files.write(state.directory("state/attachments"), [], mode: [.write, .create])
    let failure = try #require(state.failure())
    #expect(failure.hasPrefix("records: "))
    #expect(failure.contains("state/attachments"))
  }
}
