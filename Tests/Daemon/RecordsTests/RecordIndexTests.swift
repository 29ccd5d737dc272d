import CNI
import Linux
import PluginKit
import Records
import Testing
import TestSupport

@Suite("AttachmentStore: what memory answers")
struct RecordIndexTests {
  private let state: StateFixture
  private let store: AttachmentStore
  private let set = AttachmentRecord(container: "pod", plugin: "delegate")

  init() throws {
    state = try StateFixture()
    store = try state.open()
    try store.write(set)
  }

  private func part(_ place: String, of parent: AttachmentRecord) -> AttachmentRecord {
    var part = AttachmentRecord(container: "pod", place: place)
    part.parent = parent.key
    part.phase = .attached
    return part
  }

  /// The store, and the one that the next process opens.
  private func both() throws -> [AttachmentStore] { [store, try state.open()] }

  @Test("parts are found by their set, to any depth")
  func family() throws {
    let first = part("n.0", of: set)
    let second = part("n.1", of: set)
    let inner = part("n.1/0", of: second)
    for record in [first, second, inner] { try store.write(record) }
    for store in try both() {
      #expect(store.family(of: set.key) == [set.key, first.key, second.key, inner.key])
      #expect(store.family(of: second.key) == [second.key, inner.key])
      #expect(store.family(of: first.key) == [first.key])
    }
    try store.remove(first.key)
    #expect(store.family(of: set.key) == [set.key, second.key, inner.key])
  }

  @Test("an interface's keys are those that calls made; a part whose set is gone is a root")
  func roots() throws {
    let part = part("n.0", of: set)
    try store.write(part)
    func keys(_ store: AttachmentStore) -> [AttachmentKey] {
      store.keys(containerID: "pod", ifName: "eth0", network: "net")
    }
    for store in try both() {
      #expect(keys(store) == [set.key])
      #expect(store.roots(network: "net") == [set.key])
    }
    try store.remove(set.key)
    for store in try both() {
      #expect(keys(store) == [])
      #expect(store.roots(network: "net") == [part.key])
    }
  }

  @Test("what was plugged in later has keys of its own, and goes with the pod's first attachment")
  func later() throws {
    var (set, plugged) = (set, AttachmentRecord(container: "pod", plugin: "macvlan"))
    set.phase = .attached
    plugged.parent = set.key
    plugged.phase = .attached
    for record in [set, plugged] { try store.write(record) }
    for store in try both() {
      #expect(
        store.keys(containerID: "pod", ifName: "eth0", network: "net")
          == [set.key, plugged.key])
      #expect(store.first(of: "pod") == set.key)
      #expect(store.first(of: "another") == nil)
      #expect(store.family(of: set.key) == [set.key, plugged.key])
      #expect(store.roots(network: "net") == [set.key])
    }
  }

  @Test("the parts of a set that programs attach are found by its plan")
  func executed() throws {
    var set = set
    let part = PlannedPart(
      place: "1.0", type: "bridge", network: "second", ifName: "net1", isExecuted: true)
    set.plan = [part.planned]
    try store.write(set)
    for store in try both() {
      #expect(store.set(of: "pod", ifName: "net1", network: "second") == set.key)
      #expect(store.set(of: "pod", ifName: "net2", network: "second") == nil)
      #expect(
        store.attached(to: "second")
          == [NetworkConfiguration.Attachment(containerID: "pod", ifName: "net1")])
      #expect(store.mayHavePrograms)
    }
  }

  @Test("records that are each other's parents hold nobody up")
  func circle() throws {
    var (a, b) = (part("a", of: set), part("b", of: set))
    a.parent = b.key
    b.parent = a.key
    for record in [a, b] { try store.write(record) }
    #expect(store.family(of: a.key) == [a.key, b.key])
    #expect(Set(store.unfinished()) == [set.key])
  }

  @Test("an unfinished part is its set's work while the set is unfinished, else its own")
  func unfinished() throws {
    var (set, part) = (set, part("n.0", of: set))
    part.phase = .adding
    try store.write(part)
    #expect(store.unfinished() == [set.key])
    set.phase = .attached
    try store.write(set)
    #expect(store.unfinished() == [part.key])
    part.phase = .attached
    try store.write(part)
    #expect(store.unfinished().isEmpty)
    let old = AttachmentRecord(container: "old", boot: "another-boot")
    try store.write(old)
    #expect(store.unfinished() == [old.key])
  }

  @Test("a name is the newest attachment's that lists it and is not being deleted")
  func holder() throws {
    let name = OutsideName(kind: "iface-id", scope: "db", value: "default_a")
    func named(_ container: String, _ time: UInt64, boot: String = store.bootID)
      -> AttachmentRecord
    {
      var record = AttachmentRecord(container: container, boot: boot, nanoseconds: time)
      record.names = [name]
      return record
    }
    #expect(store.holder(of: name)?.key == nil)
    let (old, new) = (named("old", 5), named("new", 6))
    let before = named("before", 900, boot: "another-boot")
    try store.write(before)
    #expect(store.holder(of: name)?.key == before.key)
    for record in [new, old] { try store.write(record) }
    for store in try both() {
      #expect(store.holder(of: name)?.key == new.key)
      #expect(store.users(of: name) == [old.key, new.key, before.key])
      #expect(store.holder(of: OutsideName(kind: "iface-id", scope: "db", value: "x"))?.key == nil)
    }
    try store.beginDeleting(new.key)
    for store in try both() {
      #expect(store.holder(of: name)?.key == old.key)
      #expect(store.users(of: name).count == 3)
      #expect(try store.releasing(name).map(\.key) == [new.key])
    }
    for record in [new, old, before] { try store.remove(record.key) }
    #expect(store.users(of: name).isEmpty)
    #expect(store.holder(of: name)?.key == nil)
  }

  @Test("a record that was written before there were names gets those that its plugin finds in it")
  func foundNames() throws {
    let name = OutsideName(kind: "iface-id", scope: "db", value: "default_a")
    let record = AttachmentRecord(container: "old", nanoseconds: 5)
    try store.write(record)
    let again = try AttachmentStore(
      stateDirectory: state.directory("state"), log: TestLog(),
      names: { $0.key == record.key ? [name] : [] })
    #expect(again.holder(of: name)?.key == record.key)
  }

  @Test("traces are of this boot's roots that have a namespace, of all or of one id")
  func traces() throws {
    func placed(_ record: AttachmentRecord, _ id: Int32) -> AttachmentRecord {
      var record = record
      record.environment["CNI_NETNS"] = "/run/netns/\(id)"
      record.namespace = NamespaceIdentity(cookie: UInt64(id), id: id)
      return record
    }
    let own = placed(AttachmentRecord(container: "a"), 3)
    let other = placed(AttachmentRecord(container: "b"), 4)
    let old = placed(AttachmentRecord(container: "c", boot: "another-boot"), 3)
    for record in [own, other, old, placed(part("n.0", of: set), 3)] { try store.write(record) }
    for store in try both() {
      #expect(Set(store.traces().map(\.key)) == [own.key, other.key])
      #expect(store.traces(namespaceID: 3).map(\.key) == [own.key])
      #expect(store.traces(namespaceID: 4).map(\.path) == ["/run/netns/4"])
      #expect(store.traces(namespaceID: 5).isEmpty)
    }
  }

  @Test("a record's lock is asked for once, and known without its file")
  func lock() throws {
    let asked = Locked<[AttachmentKey]>([])
    let directory = try TemporaryDirectory()
    let store = try AttachmentStore(stateDirectory: directory.path, log: TestLog()) { record in
      asked.withLock { $0.append(record.key) }
      return record.key.containerID
    }
    #expect(store.lock(of: set.key) == nil)
    for _ in 0..<2 { try store.write(set) }
    #expect(store.lock(of: set.key) == set.key.containerID)
    #expect(asked.value == [set.key])
  }
}
