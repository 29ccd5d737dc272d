import Linux
import TestSupport
import Testing

@Suite("Network namespaces")
struct NetworkNamespaceTests {
  /// What a thread saw in a namespace of its own: its cookie, and whether it differs from the process's.
  private struct Seen: Sendable {
    let cookie: UInt64
    let isSameAsProcess: Bool
  }

  private func freshNamespace() async -> Seen? {
    await onThread {
      guard (try? NetworkNamespace.enterNew()) != nil, let own = try? NetworkNamespace.current(),
        let process = try? NetworkNamespace(path: "/proc/self/ns/net"),
        let cookie = try? own.cookie(), let isSame = try? own.isSame(as: process)
      else { return nil }
      return Seen(cookie: cookie, isSameAsProcess: isSame)
    }
  }

  @Test("Every namespace has a cookie of its own, for good")
  func cookies() async throws {
    let first = try #require(await freshNamespace())
    let second = try #require(await freshNamespace())
    let own = try NetworkNamespace.current().cookie()
    #expect(Set([first.cookie, second.cookie, own]).count == 3)
    #expect(!first.isSameAsProcess)
  }

  @Test("A body runs inside, and the caller stays outside")
  func runsInside() async throws {
    let links = await onThread { () -> [String]? in
      guard (try? NetworkNamespace.enterNew()) != nil,
        let inside = try? NetworkNamespace.current(),
        let names = try? inside.run({ try? Files.list("/proc/thread-self/net/dev_snmp6") })
      else { return nil }
      return names
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
        let run = try ProgramRun.run(
          executable: "/usr/bin/mkfifo", arguments: ["mkfifo", "\(directory)/p"], environment: [],
          deadline: .after(seconds: 5))
        guard run.status == .exited(0) else { return }
        do { _ = try NetworkNamespace(path: "\(directory)/p") } catch { refused = true }
      }
      return refused
    }
    #expect(outcome)
  }
}
