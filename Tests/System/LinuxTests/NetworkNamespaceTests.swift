import Glibc
import Linux
import TestSupport
import Testing

@Suite("Network namespaces")
struct NetworkNamespaceTests {
  @Test("A thread enters a namespace alone")
  func entering() async throws {
    let links = await onThread { () -> [String]? in
      guard (try? NetworkNamespace.enterNew()) != nil else { return nil }
      return try? Files.list("/proc/thread-self/net/dev_snmp6")
    }
    #expect(links == ["lo"])
    let here = try NetworkNamespace.current()
    let process = try NetworkNamespace(path: "/proc/self/ns/net")
    #expect(try here.isSame(as: process))
  }

  @Test("What is no network namespace is refused at once")
  func refused() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/plain"
      try Files.replace(path, [])
      #expect(throws: SystemError("open network namespace", path, .invalid)) {
        _ = try NetworkNamespace(path: path)
      }
      #expect(throws: SystemError("open network namespace", "/proc/self/ns/mnt", .invalid)) {
        _ = try NetworkNamespace(path: "/proc/self/ns/mnt")
      }
      #expect(throws: SystemError("open", "\(directory)/none", .noEntry)) {
        _ = try NetworkNamespace(path: "\(directory)/none")
      }
    }
  }

  @Test("A pipe in the way does not make anybody wait")
  func namedPipe() async throws {
    let outcome = await onThread { () -> Bool in
      var refused = false
      try? withTemporaryDirectory { directory in
        guard unsafe mkfifo("\(directory)/p", 0o600) == 0 else { return }
        do { _ = try NetworkNamespace(path: "\(directory)/p") } catch { refused = true }
      }
      return refused
    }
    #expect(outcome)
  }
}
