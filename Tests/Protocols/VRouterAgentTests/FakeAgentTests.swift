import Addresses
import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// The agent of the tests speaks as the real one does: its bytes.
@Suite struct FakeAgentTests {
  typealias Fixture = VRouterFixture

  @Test("An answer has the agent's head, byte for byte, and the connection stays open")
  func bytes() async throws {
    let client = try await AgentClient()
    let head = { (status: Int, length: Int) in
      "HTTP/1.1 \(status) OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
        + "Content-Length: \(length)\r\n\r\n"
    }
    let missing = "{\"error\":\"{ Not Found }\"}"
    #expect(
      try await client.exchange("GET /vm-cfg/k8s__default__x.y-0 HTTP/1.0\r\n\r\n")
        == head(404, missing.utf8.count) + missing)
    let unknown = "{\"error\":\"Unknown Request\"}"
    #expect(
      try await client.exchange("HEAD /vm-cfg/a HTTP/1.1\r\nConnection: close\r\n\r\n")
        == head(404, unknown.utf8.count) + unknown)
    #expect(
      try await client.exchange("DELETE /vm/\(Fixture.podUID) HTTP/1.1\r\n\r\n")
        == head(200, 2) + "{}")
    #expect(client.agent.requests.map(\.connection) == [1, 1, 1])
    // The answer is there a moment before the agent has noted it.
    #expect(
      try await eventually { client.agent.requests.allSatisfy { $0.answered ?? 0 >= $0.arrived } })
    #expect(client.agent.violations == [])
  }

  @Test(
    "A path that the agent does not have is an unknown request",
    arguments: [
      "GET /vm", "GET /vm-cfg/", "GET /vm-cfg", "PUT /vm", "DELETE /vm-cfg/a", "GET /",
      "GET /vm/5F0C7A1E-3B52-4D68-9A41-0C2B7DE91F34", "GET /vm/x", "DELETE /vm",
      "GET /vm/\(VRouterFixture.podUID)/\(VRouterFixture.vmi0)/x",
      "DELETE /vm/\(VRouterFixture.podUID)/\(VRouterFixture.vmi0)",
      "GET /vm/\(VRouterFixture.podUID)/", "GET /%76m/\(VRouterFixture.podUID)",
    ])
  func unknown(line: String) async throws {
    let client = try await AgentClient()
    client.configure(Fixture.one)
    let answer = try await client.exchange("\(line) HTTP/1.1\r\n\r\n")
    #expect(answer.hasPrefix("HTTP/1.1 404 OK") && answer.contains("Unknown Request"))
  }

  @Test("A query is passed over, a body may be chunked or come in pieces")
  func bodies() async throws {
    let client = try await AgentClient()
    client.configure(Fixture.one)
    let answer = try await client.exchange("GET /vm-cfg/\(Fixture.name)?a=b HTTP/1.1\r\n\r\n")
    #expect(answer.contains("200 OK"))
    let port = client.port(Fixture.vmi0)
    try await client.send("POST /vm HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
    try await client.send(String(port.prefix(5)) + "\r\n")
    let rest = port.dropFirst(5)
    let second = try await client.exchange(
      String(rest.utf8.count, radix: 16) + "\r\n\(rest)\r\n0\r\n\r\n")
    #expect(second.contains("200 OK"))
    #expect(client.agent.subscriptions.count == 1)
    #expect(client.agent.requests.last?.text("vm-ifname") == "eth0")
    #expect(client.agent.violations == [])
  }

  @Test("Two requests in one segment are merged, and the connection's next path is corrupted")
  func merged() async throws {
    let client = try await AgentClient()
    client.configure(Fixture.one)
    let answer = try await client.exchange(
      "GET /vm-cfg/nobody HTTP/1.1\r\n\r\nGET /vm-cfg/\(Fixture.name) HTTP/1.1\r\n\r\n")
    #expect(answer.contains("200 OK"))
    #expect(client.agent.lines == ["GET /vm-cfg/\(Fixture.name)"])
    #expect(client.agent.violations.count == 1)
    let next = try await client.exchange("GET /vm-cfg/\(Fixture.name) HTTP/1.1\r\n\r\n")
    #expect(next.contains("Unknown Request"))
  }

  @Test("What is no HTTP gets no answer, and nothing does on that connection afterwards")
  func malformed() async throws {
    let client = try await AgentClient()
    #expect(try await client.exchange("hello there\r\n\r\n", within: 200) == "")
    #expect(try await client.exchange("GET /vm-cfg/a HTTP/1.1\r\n\r\n", within: 200) == "")
    #expect(try await becomes { client.agent.violations.count == 1 })
    #expect(client.agent.requests.isEmpty)
  }

  @Test("Bytes that come while an answer is pending are counted as a fault of the client")
  func pending() async throws {
    let client = try await AgentClient()
    client.agent.script("GET", "/vm-cfg", [.hang])
    try await client.send("GET /vm-cfg/a HTTP/1.1\r\n\r\n")
    #expect(try await eventually { client.agent.requests.count == 1 })
    try await client.send("GET /vm-cfg/b HTTP/1.1\r\n\r\n")
    #expect(try await eventually { client.agent.violations.count == 1 })
    #expect(client.agent.requests.count == 1)
  }

  @Test("A script's answers come in turn, the last one again and again, the longest prefix first")
  func scripts() async throws {
    let client = try await AgentClient()
    client.agent.script("GET", "/vm-cfg", [.text("1"), .text("2", status: 500)])
    client.agent.script("GET", "/vm-cfg/b", [.text("b")])
    var seen: [String] = []
    for path in ["a", "b", "a", "a"] {
      let answer = try await client.exchange("GET /vm-cfg/\(path) HTTP/1.1\r\n\r\n")
      seen.append(String(answer.suffix(1)))
    }
    #expect(seen == ["1", "b", "2", "2"])
    #expect(client.agent.requests.map(\.status) == [200, 200, 500, 500])
    client.agent.script("GET", "/vm-cfg", [])
    #expect(try await client.exchange("GET /vm-cfg/a HTTP/1.1\r\n\r\n").contains("Not Found"))
  }

  @Test("Its faults: half an answer, a head alone, nothing, nonsense, small pieces, slow bytes")
  func faults() async throws {
    let whole = AgentAnswer.list([Fixture.cfg(Fixture.vmi0)])
    let client = try await AgentClient()
    // Reads to the end of the connection if nothing else is enough.
    func answer(
      _ script: AgentAnswer, within milliseconds: Int = patience,
      until isEnough: @escaping @Sendable ([UInt8]) -> Bool = { _ in false }
    ) async throws -> String {
      client.agent.script("GET", "/", [script])
      try await client.connect()
      return try await client.exchange(
        "GET /vm-cfg/a HTTP/1.1\r\n\r\n", within: milliseconds, until: isEnough)
    }
    let full = try await answer(whole, until: AgentClient.isWhole)
    #expect(try await answer(whole.split(into: 7), until: AgentClient.isWhole) == full)
    let half = try await answer(.truncated([Fixture.cfg(Fixture.vmi0)]))
    #expect(full.hasPrefix(half) && half.contains("\"id\"") && half.utf8.count < full.utf8.count)
    #expect(try await answer(.closeAfterHead).hasSuffix("\r\n\r\n"))
    #expect(try await answer(.close) == "")
    #expect(try await answer(.hang, within: 300) == "")
    let garbage = try await answer(.garbage, until: { $0.count >= 512 })
    #expect(!garbage.isEmpty && !garbage.hasPrefix("HTTP"))
    let start = KernelClock.monotonic
    let drip = try await answer(
      .drip, until: { String(decoding: $0, as: UTF8.self).contains("\r\n\r\n  ") })
    // Who is held up meanwhile finds more of them, but two never come sooner.
    #expect(drip.contains("\r\n\r\n  ") && KernelClock.monotonic - start > 1_900_000_000)
    let huge = try await answer(.huge(bytes: 300_000, announced: false))
    #expect(huge.utf8.count > 300_000 && !huge.contains("Content-Length"))
  }
}
