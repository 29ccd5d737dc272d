import Linux
import TestSupport
import Testing

/// The fixtures themselves: a test that relies on them is worth as much as they are.
@Suite struct SupportTests {
  struct Planted: Error, Equatable {}

  @Test("onThread returns what its body returned")
  func value() async {
    #expect(await onThread { 42 } == 42)
  }

  @Test("onThread throws what its body threw, with its type")
  func error() async {
    await #expect(throws: Planted()) {
      try await onThread { () throws(Planted) in throw Planted() }
    }
  }

  @Test("Twenty blocking bodies wait side by side, however few cores there are")
  func sideBySide() async {
    // Each waits for all: on the pool's few threads the first ones would wait in vain.
    let arrived = Locked(0)
    let met = await withTaskGroup { group in
      for _ in 0..<20 {
        group.addTask {
          await onThread {
            arrived.withLock { $0 += 1 }
            let deadline = Deadline.after(seconds: 60)
            while arrived.value < 20, !deadline.isOver { Clock.pause(milliseconds: 5) }
            return arrived.value == 20
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(met.count == 20 && !met.contains(false))
  }
}

@Suite struct FixtureTests {
  @Test("A namespace is found by its path, apart from the others, and gone from there when closed")
  func namespace() async throws {
    let (one, two) = (try await TestNamespace(), try await TestNamespace())
    try await one.ip("link add one type veth peer name two")
    #expect(try await one.links() == ["one", "two"])
    #expect(try await two.links() == [])
    one.closePath()
    #expect((try? Files.status(one.path)) == nil)
    #expect(try await one.links() == ["one", "two"])
  }

  @Test("A program runs in the namespace that it is given and ends with its test")
  func process() async throws {
    let directory = try TemporaryDirectory()
    let namespace = try await TestNamespace()
    try await namespace.ip("link add inside type bridge")
    let log = directory("log")
    let process = try await onThread {
      try RunningProcess(
        ["/bin/sh", "-c", "/sbin/ip -o link; exec sleep 100"], log: log, in: namespace)
    }
    let seen = try await eventually {
      String(decoding: try Files.read(log), as: UTF8.self).contains("inside")
    }
    #expect(seen)
    #expect(process.status == nil)
    process.signal(.kill)
    #expect(try await process.ended() == .signalled(9))
  }

  @Test("The fake daemon answers by script and keeps what came")
  func fakeDaemon() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory("s"), [.response(400, Array("no".utf8)), .bytes([65]), .close])
    let socket = directory("s")
    #expect(try await onThread { try RawHTTP.get("/readyz", socket).status } == 200)
    let first = try await onThread { try RawHTTP.send("POST", "/cni", [1, 2], socket) }
    #expect(first.status == 400 && first.text == "no")
    #expect(try await onThread { try RawHTTP.exchange(RawHTTPTest.get, socket) } == [65])
    #expect(try await onThread { try RawHTTP.exchange(RawHTTPTest.get, socket) } == [])
    #expect(fake.requests.map(\.path) == ["/cni", "/x", "/x"])
    #expect(fake.requests.first?.body == [1, 2])
    #expect(fake.probes.count == 1)
  }

  @Test("Curl reads the fake daemon's answers as any client would")
  func curl() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory("s"), [.response(200, Array("{}".utf8))])
    let result = try await Program.run(
      ["curl", "-s", "--unix-socket", directory("s"), "http://dummy/cni", "-d", "x"])
    #expect(result.text == "{}")
    #expect(fake.requests.count == 1)
  }
}

enum RawHTTPTest {
  static let get = Array("GET /x HTTP/1.1\r\nHost: dummy\r\n\r\n".utf8)
}
