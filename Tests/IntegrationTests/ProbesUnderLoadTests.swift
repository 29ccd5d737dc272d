import Addresses
import JSON
import Linux
import TestSupport
import Testing

/// Probes and metrics are answered whatever hangs.
@Suite(.daemonLog) struct ProbesUnderLoadTests {
  private static let health = "127.0.0.1:9410"  // in the node's own network namespace

  @Test("/healthz, /readyz and /metrics come within 100 ms while 516 calls hang")
  func hanging() async throws {
    let directory = try TemporaryDirectory()
    let script = "#!/bin/sh\nexec sleep 100\n"
    try Files.write(
      directory("hangs"), Array(script.utf8), mode: [.write, .create], permissions: 0o755)
    let options = TestNode.Options(settings: ["healthAddress": .string(Self.health)])
    try await withTestNode(options) { node in
      let pod = try await TestPod()
      let environment = pod.environment(
        "ADD", ifname: "ex0000x",
        ["CNI_CONTAINERID": "numberx0000x", "CNI_PATH": directory.path])
      let body = try await DaemonInterfaceTests.body(
        environment, node.macvlan(["ipam": ["type": "hangs"]]))
      let text = String(decoding: body, as: UTF8.self)
      let socket = node.socket
      let clients = try await onThread {
        try (0..<516).map { number in
          let digits = String(10_000 + number).dropFirst()
          let own = text.split(separator: "x0000x", omittingEmptySubsequences: false)
            .joined(separator: "x\(digits)x")
          return try Client(socket, "POST", "/cni", Array(own.utf8))
        }
      }
      let isFull = try await eventually(within: 60_000) {
        let page = try PrometheusText(RawHTTP.get("/metrics", socket, within: patience).body)
        // Whoever waits for a program leaves its place to others.
        return page.value("cnid_requests_in_flight") == 516
      }
      #expect(isFull)
      for path in ["/healthz", "/readyz", "/metrics"] {
        let overUnix = try await onThread { try Self.times { try RawHTTP.get(path, socket) } }
        let overTCP = try await node.network.run {
          try Self.times { try RawHTTP.parse(Self.overTCP(path)) }
        }
        print(
          "figure: \(path) while 516 calls hang: \(overUnix) us, over TCP \(overTCP) us (median)")
        let limit = 100_000 * UInt64(Program.patience)
        #expect(overUnix < limit && overTCP < limit)
      }
      withExtendedLifetime(clients) {}
    }
  }

  @Test("the page of the real daemon satisfies promtool, on both sockets")
  func promtool() async throws {
    let options = TestNode.Options(settings: ["healthAddress": .string(Self.health)])
    try await withTestNode(options) { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      let page = try await node.http("GET", "/metrics")
      let other = try await node.network.run { try RawHTTP.parse(Self.overTCP("/metrics")) }
      for body in [page.body, other.body] {
        let read = try PrometheusText(body)
        let group = ["plugin": "macvlan", "network": "pods", "phase": "attached"]
        #expect(read.value("cnid_attachments", group) == 1)
        #expect(
          read.value(
            "cnid_requests_total", ["command": "ADD", "plugin": "macvlan", "code": "0"]) == 1)
        #expect(!read.samples("cnid_step_duration_seconds_count").isEmpty)
        #expect(read.samples("cnid_build_info").first?.labels["version"] == "0.1.0")
        guard PromTool.path != nil else { continue }
        let verdict = try await PromTool.check(body)
        #expect(verdict.succeeded && verdict.errorText.isEmpty, "\(verdict)")
      }
      try await node.delete(pod, node.macvlan())
      #expect(try await node.http("POST", "/metrics").status == 405)
    }
  }

  /// The median of twenty answers, in microseconds, each of them with status 200.
  private static func times(_ ask: () throws -> RawHTTP.Response) throws -> UInt64 {
    var times: [UInt64] = []
    for _ in 0..<20 {
      let began = KernelClock.monotonic
      let answer = try ask()
      guard answer.status == 200 else { throw TestError("\(answer)") }
      times.append((KernelClock.monotonic - began) / 1_000)
    }
    return times.sorted()[times.count / 2]
  }

  private static func overTCP(_ path: String) throws -> [UInt8] {
    let deadline = Deadline.after(seconds: 20)
    let connection = try TCPSocket.connect(
      IPAddress(v4: 0x7F00_0001), port: 9410, deadline: deadline)
    let request = Array("GET \(path) HTTP/1.1\r\nHost: dummy\r\n\r\n".utf8)
    try Descriptor.sendAll(connection.rawValue, request, deadline: deadline)
    return try Descriptor.readAll(connection.rawValue, limit: 1 << 20, deadline: deadline)
  }
}

/// A client that has sent its call and waits.
private final class Client: Sendable {
  private let socket: FileDescriptor

  init(_ path: String, _ method: String, _ target: String, _ body: [UInt8]) throws {
    socket = try UnixSocket.connect(path).movedUp()
    let head =
      "\(method) \(target) HTTP/1.1\r\nHost: dummy\r\nContent-Length: \(body.count)\r\n\r\n"
    try Descriptor.sendAll(
      socket.rawValue, Array(head.utf8) + body, deadline: .after(seconds: 20))
  }
}
