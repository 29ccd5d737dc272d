import CNI
import DaemonAPI
import JSON
import Linux
import ShimCore
import TestSupport
import Testing

private let simple = #"{"cniVersion":"1.1.0","ips":[]}"#

@Suite("The shim asks the daemon")
struct ExchangeTests {
  @Test("The request is Multus' and holds the exact bytes of stdin")
  func request() async throws {
    let node = try FakeNode([added(simple)])
    var call = ShimCall()
    let input = Array(
      """
      { "name":"n",  "cniVersion":"1.1.0", "name": "skel-test", "big": 12345678901234567890123,
        "daemonSocketDir": "\(node.directory.path)" }

      """.utf8)
    call.input = .bytes(input)
    #expect(try await call.run().status == 0)
    let request = try #require(node.daemon.requests.first)
    #expect(request.line == "POST /cni HTTP/1.1")
    #expect(request.headers["host"] == "dummy")
    #expect(request.headers["content-type"] == "application/json")
    let body = try Request(parsing: request.body)
    #expect(body.config == input)
    #expect(body.env == call.environment)
    #expect(body.interfaceAttributes == nil)
  }

  @Test("Only the call's own variables travel")
  func environment() async throws {
    let node = try FakeNode([added(simple)])
    let trace = ["TRACEPARENT": "00-1-2-01", "TRACESTATE": "a=b", "BAGGAGE": "c=d"]
    var call = ShimCall("ADD", ["CNI_NETNS_OVERRIDE": "0", "CNI_OTHER": "x", "CNID_CALL": "id"])
    for (name, value) in trace { call.environment[name] = value }
    var expected = call.environment
    for name in ["AWS_SECRET_ACCESS_KEY", "PATH", "HOME", "CNID_CALLS", "XCNI_A", "cni_args"] {
      call.environment[name] = "secret"
    }
    call.environment["LARGE"] = String(repeating: "secret", count: 17_000)
    expected["CNI_COMMAND"] = "ADD"
    #expect(try await node.run(call).status == 0)
    let request = try #require(node.daemon.requests.first)
    #expect(try Request(parsing: request.body).env == expected)
    #expect(request.bytes.count < 4096)
  }

  @Test("Headers tell the id, the beginning and the time that is left")
  func headers() async throws {
    let node = try FakeNode([added(simple)])
    let before = KernelClock.boot
    #expect(try await node.run(ShimCall("ADD", [:], ["daemonTimeout": 50])).status == 0)
    let headers = try #require(node.daemon.requests.first).headers
    #expect(RequestID.isValid(headers["x-cnid-request-id"] ?? ""))
    let stamp = try #require(headers["x-cnid-stamp"].flatMap { Stamp($0) })
    #expect(stamp.bootID == (try Boot.id()))
    #expect(stamp.nanoseconds >= before && stamp.nanoseconds <= KernelClock.boot)
    let left = try #require(headers["x-cnid-time-left"].flatMap { Int($0) })
    #expect((1...50_000).contains(left))
  }

  @Test("The result's bytes are printed as they came", arguments: ["ADD", "UPDATE"])
  func unchanged(verb: String) async throws {
    let result = "{ \"cniVersion\" :\"1.1.0\",\n\"x\":[1.50,1e3], \"dns\": {} }"
    let outcome = try await FakeNode([added(result)]).run(ShimCall(verb))
    #expect(outcome == ShimOutcome(printing: result))
  }

  @Test("Other verbs print nothing", arguments: ["DEL", "CHECK", "GC", "STATUS"])
  func nothing(verb: String) async throws {
    let (outcome, node) = try await FakeNode.run(ShimCall(verb), [.response(200, [])])
    #expect(outcome == ShimOutcome(printing: ""))
    #expect(node.daemon.requests.count == 1)
  }

  @Test("A result of 2 MB is passed through")
  func large() async throws {
    let text = String(repeating: "x", count: 2 << 20)
    let result = "{\"cniVersion\":\"1.1.0\",\"x\":\"\(text)\"}"
    let outcome = try await FakeNode([added(result)]).run(ShimCall())
    #expect(outcome == ShimOutcome(printing: result))
  }

  @Test(
    "The probe is readyz, for DEL and STATUS healthz",
    arguments: [
      ("ADD", "/readyz"), ("CHECK", "/readyz"), ("GC", "/readyz"), ("UPDATE", "/readyz"),
      ("DEL", "/healthz"), ("STATUS", "/healthz"),
    ])
  func probe(verb: String, path: String) async throws {
    let node = try FakeNode([added(simple)])
    #expect(try await node.run(ShimCall(verb)).status == 0)
    // One that is answered late is sent again.
    #expect(Set(node.daemon.probes.map(\.path)) == [path])
  }

  // MARK: Errors

  @Test(
    "The daemon's code, message and details are printed, and the network's name",
    arguments: [
      "ADD", "DEL", "CHECK", "GC", "STATUS", "UPDATE",
    ])
  func typedError(verb: String) async throws {
    let (outcome, _) = try await FakeNode.run(
      ShimCall(verb), [failed(1234, "potato", "batata")])
    #expect(outcome.status == 1)
    #expect(
      outcome.json
        == [
          "cniVersion": "1.1.0", "code": 1234, "msg": "potato",
          "details": #"batata; network "skel-test""#,
        ])
  }

  @Test(
    "A network is named once",
    arguments: [
      ("no", "", #"network "skel-test""#), ("no", "d", #"d; network "skel-test""#),
      (#"network "skel-test": no"#, "", nil), ("no", #"of "skel-test""#, #"of "skel-test""#),
    ] as [(String, String, String?)])
  func named(message: String, details: String, printed: String?) async throws {
    let (outcome, _) = try await FakeNode.run(ShimCall("ADD"), [failed(7, message, details)])
    #expect(outcome.json?["msg"]?.string == message)
    #expect(outcome.json?["details"]?.string == printed)
  }

  @Test("Plain text is code 999 and keeps the text")
  func plainText() async throws {
    let answer = FakeDaemon.Answer.response(400, Array("potato\n".utf8), type: "text/plain")
    let outcome = try await FakeNode([answer]).run(ShimCall())
    #expect(outcome.error?.code == .internal)
    #expect(outcome.error?.message.contains("potato") == true)
  }

  @Test("An error has the configuration's version", arguments: ["0.2.0", "0.4.0", "1.0.0"])
  func errorVersion(version: String) async throws {
    let call = ShimCall("ADD", [:], ["cniVersion": .string(version)])
    let outcome = try await FakeNode([failed(7, "no")]).run(call)
    #expect(outcome.json?["cniVersion"]?.string == version)
  }

  @Test(
    "An answer that is none is code 5, and what it was is not printed",
    arguments: [
      FakeDaemon.Answer.bytes(Array("secret\r\n\r\n".utf8)),
      .response(200, Array("secret".utf8)), .response(200, Array("{\"Result\":\"secret\"}".utf8)),
      .bytes(Array("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}".utf8)),
    ])
  func noAnswer(answer: FakeDaemon.Answer) async throws {
    let outcome = try await FakeNode([answer]).run(ShimCall())
    #expect(outcome.error?.code == .ioFailure)
    #expect(!outcome.text.contains("secret"))
  }

  @Test(
    "ADD without a result in the answer is an error", arguments: ["", "{}", "{\"Result\":null}"])
  func noResult(body: String) async throws {
    let outcome = try await FakeNode([.response(200, Array(body.utf8))]).run(ShimCall())
    #expect(outcome.error?.code == .decodingFailure)
  }

  // MARK: Cut answers

  @Test("A chunked answer is an answer")
  func chunked() async throws {
    let result = "{\"cniVersion\":\"1.1.0\"}"
    let body = "{\"Result\":\(result)}"
    let size = String(body.utf8.count, radix: 16)
    let answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(size)\r\n\(body)\r\n0\r\n\r\n"
    let outcome = try await FakeNode([.keepingOpen(Array(answer.utf8))]).run(ShimCall())
    #expect(outcome == ShimOutcome(printing: result))
  }

  @Test(
    "An answer that is cut is asked for once more under the same id, then code 5",
    arguments: [
      "ADD", "DEL", "CHECK", "GC", "STATUS", "UPDATE",
    ])
  func cut(verb: String) async throws {
    let answer = FakeDaemon.Answer.bytes(
      Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Result\":{".utf8))
    let (outcome, node) = try await FakeNode.run(ShimCall(verb), [answer])
    #expect(outcome.error?.code == .ioFailure)
    let ids = node.daemon.requests.map { $0.headers["x-cnid-request-id"] }
    #expect(ids.count == 2)
    #expect(Set(ids).count == 1)
  }

  @Test("The second answer counts after one that was cut")
  func cutThenWhole() async throws {
    let cut = FakeDaemon.Answer.bytes(Array("HTTP/1.1 200 OK\r\nContent-Le".utf8))
    let node = try FakeNode([cut, added(simple)])
    let outcome = try await node.run(ShimCall())
    #expect(outcome == ShimOutcome(printing: simple))
  }

  // MARK: The connection ends before the first byte

  @Test(
    "Without a byte of an answer the call is sent again, the same in all but the time left",
    arguments: [
      "ADD", "CHECK", "GC", "UPDATE",
    ])
  func sentAgain(verb: String) async throws {
    let (outcome, node) = try await FakeNode.run(
      ShimCall(verb), [.close, .close, .close, added(simple)])
    #expect(outcome.status == 0)
    let requests = node.daemon.requests
    #expect(requests.count == 4)
    for header in ["x-cnid-request-id", "x-cnid-stamp"] {
      #expect(Set(requests.map { $0.headers[header] }).count == 1)
    }
    #expect(Set(requests.map(\.body)).count == 1)
    let left = requests.compactMap { $0.headers["x-cnid-time-left"].flatMap { Int($0) } }
    #expect(left == left.sorted(by: >) && left.count == 4)
  }

  @Test("It is sent again within its time only, then code 11", arguments: ["ADD", "CHECK"])
  func sentAgainInTime(verb: String) async throws {
    // The whole call's time is far away: a slow try is no 105.
    let call = ShimCall(verb, [:], ["unreachableTimeout": 2])
    let outcome = try await FakeNode([.close]).run(call)
    #expect(outcome.error?.code == .tryAgainLater)
  }

  @Test("DEL without an answer is asked once more, written to the spool, and asked a last time")
  func deleteWithoutAnswer() async throws {
    let (outcome, node) = try await FakeNode.run(ShimCall("DEL"), [.close])
    #expect(outcome == ShimOutcome(printing: ""))
    #expect(node.daemon.requests.count == 3)
  }

  @Test("STATUS without an answer is asked again, then code 50")
  func statusWithoutAnswer() async throws {
    let node = try FakeNode([.close])
    let outcome = try await node.run(ShimCall("STATUS"))
    #expect(outcome.error?.code == .notAvailable)
    #expect(node.daemon.requests.count > 1)
  }

  @Test("A daemon that never answers is code 105 when the time is over")
  func silence() async throws {
    // Enough for a late answer to the probe.
    let call = ShimCall("ADD", [:], ["daemonTimeout": 5])
    let outcome = try await FakeNode([.silence]).run(call)
    #expect(outcome.error?.code == .deadline)
  }
}
