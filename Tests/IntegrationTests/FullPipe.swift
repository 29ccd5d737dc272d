import Glibc
import Linux
import TestSupport

/// A pipe that nobody reads and that has no room: who writes to it waits there.
struct FullPipe: ~Copyable {
  let reading: FileDescriptor
  let writing: FileDescriptor

  init() throws {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw TestError("pipe") }
    reading = FileDescriptor(adopting: ends[0])
    writing = FileDescriptor(adopting: ends[1])
    _ = fcntl(writing.rawValue, F_SETFL, O_NONBLOCK)
    let page = [UInt8](repeating: 0, count: 4096)
    while (try? Descriptor.write(writing.rawValue, page)) ?? 0 > 0 {}
    _ = fcntl(writing.rawValue, F_SETFL, 0)
  }
}
