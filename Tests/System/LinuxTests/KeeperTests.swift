import Glibc
import Linux
import Testing
import TestSupport

@Suite("Keeper")
struct KeeperTests {
  @Test("what was noted is sent to the disk, also a file that is gone, and errors are none of it")
  func flush() throws {
    let directory = try TemporaryDirectory()
    let keeper = Keeper()
    for number in 0..<200 {
      try Files.write(directory("\(number)"), [1], mode: [.write, .create])
      keeper.note(directory("\(number)"))
    }
    keeper.note(directory("gone"))
    keeper.note(directory("no directory/gone"))
    keeper.flush()
    keeper.flush()
    #expect(TemporaryDirectory.files(below: directory.path).count == 200)
  }

  @Test("an error is reported once until there is another or none")
  func errors() async throws {
    let directory = try TemporaryDirectory()
    let keeper = Keeper()
    let errors = Locked<[String]>([])
    try keeper.start { error in errors.withLock { $0.append("\(error)") } }
    // No link is followed.
    try Files.makeDirectory(directory("d"))
    try Files.write(directory("file"), [1], mode: [.write, .create])
    let link = directory("link")
    #expect(unsafe symlink("file", link) == 0)
    for _ in 0..<3 {
      keeper.note(link)
      keeper.flush()
    }
    #expect(errors.value.count == 1)
    #expect(errors.value.first?.contains("link") == true)
    keeper.note(directory("file"))
    keeper.flush()
    keeper.note(link)
    keeper.flush()
    #expect(errors.value.count == 2)
  }

  @Test("what is noted is sent a second later by a thread, without anybody's asking")
  func thread() async throws {
    let directory = try TemporaryDirectory()
    let keeper = Keeper()
    let errors = Locked(0)
    try keeper.start { _ in errors.withLock { $0 += 1 } }
    let link = directory("link")
    #expect(unsafe symlink("file", link) == 0)
    // An error is the only thing that can be seen of it here.
    let began = KernelClock.monotonic
    keeper.note(link)
    let isSent = try await becomes { errors.value == 1 }
    #expect(isSent)
    #expect(KernelClock.monotonic - began >= 1_000_000_000)
  }

  @Test("a file is of another boot if it was last written before the machine was started")
  func otherBoot() throws {
    let directory = try TemporaryDirectory()
    try Files.write(directory("file"), [], mode: [.write, .create])
    #expect(try !Files.isOfAnotherBoot(directory("file")))
    _ = try Files.stamp(directory("file"), modified: FileTime(seconds: 1, nanoseconds: 0))
    #expect(try Files.isOfAnotherBoot(directory("file")))
  }
}
