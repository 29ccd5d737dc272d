import JSON
import Linux
import OVSDB
import TestSupport
import Testing

private func text(_ text: String) -> [UInt8] { Array(text.utf8) }

private func transact(
  _ client: OVSDBClient, within milliseconds: Int = 60_000
) async -> Result<[OVSDBResult], OVSDBError> {
  await outcome { () throws(OVSDBError) in
    try client.transact([.comment("")], deadline: .after(milliseconds: milliseconds))
  }
}

@Suite("What a server may do with its bytes")
struct FramingTests {
  @Test("An answer that comes byte by byte is one")
  func bytewise() async throws {
    let server = try FakeServer { .send(FakeServer.answer($0, [[:]]).map { [$0] }) }
    #expect(try await transact(try server.client()).get().count == 1)
  }

  @Test(
    "Messages that come together are taken one by one, and those that concern nobody are passed over"
  )
  func joined() async throws {
    let server = try FakeServer { request in
      let others = text(
        #" {"id":null,"method":"locked","params":[]}{"id":99,"result":[]} {"id":"x","result":[]}"#)
      return .send([others + FakeServer.answer(request, [[:]]) + others])
    }
    let client = try server.client()
    for _ in 0..<3 { #expect(try await transact(client).get().count == 1) }
  }

  @Test("The server's echo is answered, and so is a request that nobody knows")
  func requests() async throws {
    let server = try FakeServer { request in
      guard request["method"]?.string == "transact" else { return .send([]) }
      let asked = text(
        #"{"id":"e","method":"echo","params":[1]}{"id":"s","method":"steal","params":[]}"#)
      return .send([asked + FakeServer.answer(request, [[:]])])
    }
    let client = try server.client()
    _ = try await transact(client).get()
    let received = server.received
    let isAnswered = try await eventually { received.value.count { $0["method"] == nil } == 2 }
    #expect(isAnswered)
    let answers = received.value.filter { $0["method"] == nil }
    #expect(answers.first?["id"] == "e" && answers.first?["result"] == [1])
    #expect(answers.last?["id"] == "s" && answers.last?["error"] == "unknown method")
    client.close()
  }

  @Test("A server that asks without end and reads nothing loses its connection")
  func flood() async throws {
    let server = try FakeServer { request in
      guard request["method"]?.string == "transact" else { return .send([]) }
      let filling = String(repeating: "x", count: 64 << 10)
      let asked = text(#"{"id":1,"method":"echo","params":["\#(filling)"]}"#)
      return .send(Array(repeating: asked, count: 1000))
    }
    let given = await transact(try server.client()).error
    guard case .interrupted(_, let cause)? = given else {
      Issue.record("\(given.map { "\($0)" } ?? "answered")")
      return
    }
    #expect(cause.hasPrefix("the server does not take what is sent: "))
  }

  @Test("A server's error text is one line of at most 1000 bytes")
  func errorText() async throws {
    let server = try FakeServer { request in
      let long = String(repeating: "é\n\u{1B}\u{85}", count: 5000)
      let refusal: JSONValue = [
        "id": request["id"] ?? .null, "error": .null,
        "result": [["error": .string(long), "details": .string(long)]],
      ]
      return .send([refusal.bytes])
    }
    let given = await transact(try server.client()).error
    guard case .refused(_, _, let error, let details)? = given else {
      Issue.record("\(given.map { "\($0)" } ?? "answered")")
      return
    }
    #expect(error == String(repeating: "é ", count: 333) + "…" && details == error)
  }

  @Test("An answer to a call that has given up is dropped; the next call gets its own")
  func late() async throws {
    let first = Locked<JSONValue?>(nil)
    let server = try FakeServer { request in
      let earlier = first.withLock { first -> JSONValue? in
        defer { if first == nil { first = request } }
        return first
      }
      guard let earlier else { return .send([]) }
      return .send([
        FakeServer.answer(earlier, [["count": 1]]) + FakeServer.answer(request, [["count": 2]])
      ])
    }
    let client = try server.client()
    _ = try await onThread { try client.schema(deadline: soon) }
    let given = await transact(client, within: 100).error
    #expect(given == .timedOut("wait for the answer to transact"))
    #expect(try await transact(client).get().first?.count == 2)
  }

  @Test(
    "What is no message ends the connection with its reason, and the next call has a new one",
    arguments: [
      ("x", "a message begins with byte 120"), (#"{"a":tru }"#, "no JSON: line 1, column 9"),
      (#"{"method":"update2","params":[]}"#, "an update without its changes"),
      (#"{"method":"update2","params":[null,{"T":1}]}"#, "an update cannot be understood"),
      (#"{"method":"monitor_canceled","params":[null]}"#, "ended the watch"),
    ])
  func junk(bytes: String, reason: String) async throws {
    let isFirst = Locked(true)
    let server = try FakeServer { request in
      let isNow = isFirst.withLock { first in
        defer { first = false }
        return first
      }
      return .send([isNow ? text(bytes) : FakeServer.answer(request, [[:]])])
    }
    let client = try server.client()
    guard case .interrupted(_, let cause)? = await transact(client).error else {
      Issue.record("not interrupted")
      return
    }
    #expect(cause.contains(reason))
    #expect(try await transact(client).get().count == 1)
  }

  @Test("A server that ends the connection instead of answering interrupts the call")
  func ends() async throws {
    let server = try FakeServer { _ in .end }
    guard case .interrupted? = await transact(try server.client()).error else {
      Issue.record("not interrupted")
      return
    }
  }

  @Test("A result that is none is malformed, and the connection lives")
  func malformed() async throws {
    let server = try FakeServer { request in .send([FakeServer.answer(request, "nonsense")]) }
    let client = try server.client()
    guard case .malformed? = await transact(client).error else {
      Issue.record("not malformed")
      return
    }
    #expect(client.isConnected)
  }

  @Test(
    "A server that knows only RFC 7047 is watched in its way",
    arguments: [["monitor_cond", "monitor"], ["monitor"]])
  func fallback(methods: [String]) async throws {
    let row = #"{"T":{"\#(OVSDBUUID.zero)":{"new":{"name":"x"},"insert":{"name":"x"}}}}"#
    let method = methods.count == 1 ? "update" : "update2"
    let update = text(#"{"id":null,"method":"\#(method)","params":[null,\#(row)]}"#)
    let server = try FakeServer(methods: methods) { request in
      .send([update + FakeServer.answer(request, [[:]])])
    }
    let client = try server.client()
    _ = try await transact(client).get()
    let names = try await onThread {
      try client.read(deadline: soon) { $0.rows("T").values.compactMap { $0["name"]?.string } }
    }
    #expect(names == ["x"])
  }

  @Test("A server that knows no way to watch, or says nothing, is not reachable")
  func unwatchable() async throws {
    let server = try FakeServer(methods: [])
    // A call that may wait for longer waits for the end of what may be a short outage.
    let given = await transact(try server.client(), within: 5000 * Program.patience).error
    guard case .unreachable(_, let cause)? = given else {
      Issue.record("reachable")
      return
    }
    #expect(cause == "the server knows no way to watch tables")
  }
}
