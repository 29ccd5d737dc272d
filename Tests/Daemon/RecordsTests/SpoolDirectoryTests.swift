import CNI
import DaemonAPI
import Glibc
import Linux
import Records
import Testing
import TestSupport

@Suite("Directories of the spool")
struct SpoolDirectoryTests {
  private let spool: SpoolFixture

  init() throws { spool = try SpoolFixture() }

  @Test("a directory that is not root's alone is refused and left as it is")
  func insecure() throws {
    try Files.setPermissions(spool.directory, 0o755)
    #expect(
      spool.refusal()
        == "insecure permissions on spool directory \(spool.directory): 0755, it must be 0700; chmod it"
    )
    try Files.setPermissions(spool.directory, 0o700)
    #expect(unsafe chown(spool.directory, 1000, 0) == 0)
    #expect(spool.refusal()?.hasPrefix("insecure owner of spool directory ") == true)
    #expect(try Files.status(spool.directory).owner == 1000)
    try Files.removeDirectory(spool.directory)
    try Files.write(spool.directory, [], mode: [.write, .create])
    #expect(spool.refusal()?.contains("not a directory") == true)
    try Files.remove(spool.directory)
    #expect(unsafe symlink(spool.outer.path, spool.directory) == 0)
    #expect(spool.refusal()?.contains("not a directory") == true)
  }

  @Test("a directory that is removed is made again, and entries in the new one are found")
  func removedDirectory() throws {
    let opened = try spool.open()
    let descriptors = opened.descriptors
    for number in 1...3 {
      try Files.removeDirectory(spool.directory)
      #expect(opened.isReadable)
      #expect(opened.scan() == [])
      #expect(try Files.status(spool.directory).permissions == 0o700)
      _ = opened.scan()
      #expect(!opened.isReadable)
      try spool.put(try spool.entry(UInt64(number)))
      #expect(opened.isReadable)
      let item = try #require(opened.scan().first)
      opened.remove(item)
      _ = opened.scan()
    }
    #expect(opened.descriptors == descriptors)
  }

  @Test("a directory that a shim makes anew before the daemon has seen that it went")
  func replacedDirectory() throws {
    try spool.put(try spool.entry(1, "old"))
    let opened = try spool.open()
    #expect(opened.count == 1)
    TemporaryDirectory.removeTree(spool.directory)
    try Files.makeDirectory(spool.directory)
    try spool.put(try spool.entry(2, "new"))
    #expect(opened.items("old") == [])
    #expect(opened.items("new").count == 1)
    #expect(opened.isReadable)
    #expect(opened.scan().map(\.containerID) == ["new"])
    try spool.put(try spool.entry(3, "new", id: "later"))
    #expect(opened.isReadable)
    #expect(opened.items("new").count == 2)
  }

  @Test("a directory that becomes insecure is not read until it is right, which is said once")
  func becomesInsecure() throws {
    let opened = try spool.open()
    try Files.setPermissions(spool.directory, 0o777)
    try spool.put(try spool.entry(1))
    for _ in 0..<3 { #expect(opened.scan() == []) }
    #expect(opened.count == 0)
    #expect(spool.log.split(separator: "insecure permissions").count == 2)
    try Files.setPermissions(spool.directory, 0o700)
    #expect(opened.scan().count == 1)
  }

  @Test("several directories are one spool: one order, and each entry leaves its own")
  func directories() throws {
    let other = try SpoolFixture()
    let opened = try Spool(
      directories: [spool.directory, other.directory], log: spool.told)
    #expect(opened.descriptors.count == 2)
    try spool.put(try spool.entry(1, id: "1"))
    try other.put(try other.entry(2, id: "2"))
    try spool.put(try spool.entry(3, id: "3"))
    try other.put("", as: "README")
    let items = opened.scan()
    #expect(items.map(\.entry.requestID) == ["1", "2", "3"])
    #expect(opened.items("c") == items)
    #expect(opened.count == 3)
    #expect(opened.damagedCount == 1)
    opened.remove(items[1])
    #expect(other.files == ["README.damaged"])
    opened.setAside(items[2], reason: "no")
    #expect(spool.files == [items[0].name, items[2].name + ".refused"])
    #expect(opened.count == 1)
  }
}
