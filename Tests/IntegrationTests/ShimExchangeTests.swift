import JSON
import Linux
import TestSupport
import Testing

/// What the shim says to a daemon and makes of its answers, against a daemon that
/// answers byte by byte.
@Suite struct ShimExchangeTests {
  static let success = Array(#"{"Result":{"cniVersion":"1.1.0"}}"#.utf8)

  private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test("The daemon's code, message and details are the shim's")
  func typedError() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket, [.response(400, bytes(#"{"code":1234,"msg":"no \"way\"","details":"d"}"#))])
    let result = try await ShimCall().to(directory).run()
    #expect(result.status == .exited(1))
    #expect(result.code == 1234)
    #expect(result.message == #"no "way""#)
    #expect(result.details == #"d; network "skel-test""#)
    #expect(result.json?["cniVersion"] == "1.1.0")
    #expect(fake.requests.count == 1)
  }

  @Test("An error in plain text is internal, code 999, and its text is passed on")
  func plainTextError() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket, [.response(400, bytes("potato"), type: "text/plain")])
    let result = try await ShimCall().to(directory).run()
    #expect(result.status == .exited(1))
    #expect(result.code == 999)
    #expect(result.message?.contains("potato") == true, "\(result)")
    #expect(fake.requests.count == 1)
  }

  @Test("ADD waits for a daemon that comes three seconds later")
  func lateDaemon() async throws {
    let directory = try TemporaryDirectory()
    let call = ShimCall().to(directory, timeout: 60)
    let fake = Locked<FakeDaemon?>(nil)
    let socket = directory.socket
    let (result, passed) = try await onThread {
      let start = KernelClock.monotonic
      try OSThread.start {
        Clock.pause(milliseconds: 3000)
        let late = try? FakeDaemon(socket, [.response(200, Self.success)])
        fake.withLock { $0 = late }
      }
      let result = try Program.runBlocking(
        [Program.shim], environment: call.environment, input: call.configuration.bytes)
      return (result, (KernelClock.monotonic - start) / 1_000_000)
    }
    #expect(result.succeeded, "\(result)")
    #expect(passed >= 2500)
    // It answers before it is kept.
    #expect(try await becomes { fake.value?.requests.count == 1 })
  }

  @Test("ADD without a daemon ends after its time with code 11", arguments: ["ADD", "CHECK"])
  func noDaemon(command: String) async throws {
    let directory = try TemporaryDirectory()
    let call = ShimCall(command).to(directory, timeout: 2).with("password", "hunter2")
    let result = try await call.run()
    #expect(result.status == .exited(1))
    #expect(result.code == 11)
    #expect(result.milliseconds >= 1000 && result.milliseconds < 10_000 * Program.patience)
    #expect(!result.text.contains("hunter2"))
  }

  @Test("A socket that nobody serves is no daemon either")
  func deadSocket() async throws {
    let directory = try TemporaryDirectory()
    // Bound and closed: the file stays, connecting is refused.
    try UnixSocket.leaveDead(directory.socket)
    let result = try await ShimCall().to(directory, timeout: 2).run()
    #expect(result.code == 11)
    #expect(result.milliseconds < 10_000 * Program.patience)
  }

  @Test("A daemon that listens and never answers its probe is not reachable")
  func silentDaemon() async throws {
    let directory = try TemporaryDirectory()
    let listener = try UnixSocket.listen(directory.socket)
    let result = try await ShimCall().to(directory, timeout: 3).run()
    #expect(result.code == 11)
    #expect(result.milliseconds < 12_000 * Program.patience)
    _ = listener.rawValue
  }

  @Test("A daemon that is not ready is waited for, and code 11 says so in the end")
  func notReady() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Self.success)], probes: 500)
    let result = try await ShimCall().to(directory, timeout: 10).run()
    #expect(result.code == 11)
    #expect(fake.requests.isEmpty)
    #expect(fake.probes.count > 3)
  }

  @Test("STATUS without a daemon is code 50 after five seconds")
  func statusWithoutDaemon() async throws {
    let directory = try TemporaryDirectory()
    let result = try await ShimCall("STATUS").to(directory, timeout: 60).run()
    #expect(result.status == .exited(1))
    #expect(result.code == 50)
    #expect(result.milliseconds < 30_000 * Program.patience)
  }

  @Test("A chunked answer is an answer")
  func chunked() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket,
      [
        .bytes(
          bytes(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              + "5;x=y\r\n{\"Res\r\n1c\r\nult\":{\"cniVersion\":\"1.1.0\"}}\r\n0\r\n\r\n"))
      ])
    let result = try await ShimCall().to(directory).run()
    #expect(result.succeeded, "\(result)")
    #expect(result.json == ["cniVersion": "1.1.0"])
    #expect(fake.requests.count == 1)
  }

  @Test("An answer is complete when its length says so, also if the daemon never closes")
  func keptOpen() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket,
      [
        .keepingOpen(
          bytes("HTTP/1.1 200 OK\r\ncontent-length: \(Self.success.count)\r\n\r\n") + Self.success)
      ])
    let result = try await ShimCall().to(directory, timeout: 20).run()
    #expect(result.succeeded, "\(result)")
    #expect(result.milliseconds < 5000 * Program.patience)
    #expect(fake.requests.count == 1)
  }

  @Test(
    "An answer that is cut is asked for once more, under the same id, and then code 5",
    arguments: [
      "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"Result\":{",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"Result\":{",
      "HTTP/1.1 200 OK\r\nContent-Le",
    ])
  func cutAnswer(answer: String) async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.bytes(bytes(answer))])
    let result = try await ShimCall().to(directory, timeout: 30).run(within: 60_000)
    #expect(result.status == .exited(1))
    #expect(result.code == 5, "\(result)")
    let ids = fake.requests.map { $0.headers["x-cnid-request-id"] }
    #expect(ids.count == 2)
    #expect(Set(ids).count == 1 && ids.first != .some(nil))
  }

  @Test("A cut answer that comes whole the second time is a success")
  func cutOnce() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket,
      [
        .bytes(bytes("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")),
        .response(200, Self.success),
      ])
    let result = try await ShimCall().to(directory).run()
    #expect(result.succeeded, "\(result)")
    #expect(fake.requests.count == 2)
  }

  @Test(
    "An answer that is no HTTP or no result is an I/O error and no crash",
    arguments: [
      "220 mail.example.org ESMTP\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
      "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"Resul\"",
    ])
  func garbage(answer: String) async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.bytes(bytes(answer))])
    let result = try await ShimCall().to(directory, timeout: 30).run(within: 60_000)
    #expect(result.status == .exited(1))
    #expect(result.code == 5, "\(result)")
    #expect(!fake.requests.isEmpty)
  }

  @Test("A call whose connection ends before the answer is sent again under the same id")
  func lostAnswer() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket, [.close, .close, .response(200, Self.success)])
    let result = try await ShimCall().to(directory).run()
    #expect(result.succeeded, "\(result)")
    let ids = fake.requests.compactMap { $0.headers["x-cnid-request-id"] }
    #expect(ids.count == 3 && Set(ids).count == 1, "\(ids)")
  }

  @Test("A daemon that is stopping says so, and the shim waits for the next one")
  func stopping() async throws {
    let directory = try TemporaryDirectory()
    let body = #"{"code":11,"msg":"stopping"}"#
    let head = "HTTP/1.1 400 Bad Request\r\nRetry: 1\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
    let fake = try FakeDaemon(
      directory.socket, [.bytes(bytes(head + body)), .response(200, Self.success)])
    let result = try await ShimCall().to(directory).run()
    #expect(result.succeeded, "\(result)")
    #expect(fake.requests.count == 2)
  }

  @Test("An error with code 11 and no Retry is final")
  func busy() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(
      directory.socket, [.response(400, bytes(#"{"code":11,"msg":"busy"}"#))])
    let result = try await ShimCall().to(directory).run()
    #expect(result.code == 11 && result.message == "busy")
    #expect(fake.requests.count == 1)
  }

  @Test("A daemon that takes the call and never answers is left when the time is over")
  func neverAnswers() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.silence])
    let result = try await ShimCall().to(directory, timeout: 10).run()
    #expect(result.status == .exited(1))
    #expect(result.code != nil)
    #expect(result.milliseconds < 20_000 * Program.patience)
    #expect(try await becomes { fake.requests.count == 1 })
  }

  @Test("Of the environment only CNI_* and the trace context travel")
  func environment() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Self.success)])
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    let changes = [
      "HUGE": String(repeating: "x", count: 100_000), "SECRET": "hunter2", "PATH": "/bin",
      "TRACEPARENT": trace, "CNI_EXTRA": "kept",
    ]
    let result = try await ShimCall("ADD", changes).to(directory).run()
    #expect(result.succeeded, "\(result)")
    let request = try #require(fake.requests.first)
    let sent = request.json?["env"]?.object?.members.map(\.key).sorted()
    #expect(
      sent == [
        "CNI_ARGS", "CNI_COMMAND", "CNI_CONTAINERID", "CNI_EXTRA", "CNI_IFNAME", "CNI_NETNS",
        "CNI_PATH", "TRACEPARENT",
      ])
    #expect(request.bytes.count < 4000)
    #expect(!String(decoding: request.bytes, as: UTF8.self).contains("hunter2"))
  }

  @Test("The configuration travels byte for byte, and the request is one that Multus would take")
  func request() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Self.success)])
    let text =
      "{ \"cniVersion\":\"1.1.0\",\n\t\"name\":\"n\", \"n\":1e400, \"d\":1, \"d\":2, \"é\":\"\\u00e9\","
      + "\"daemonSocketDir\":\"\(directory.path)\" }\n"
    let result = try await Program.run(
      [Program.shim], environment: ShimCall().environment, input: bytes(text))
    #expect(result.succeeded, "\(result)")
    let request = try #require(fake.requests.first)
    #expect(request.line == "POST /cni HTTP/1.1")
    #expect(request.headers["host"] == "dummy")
    #expect(request.headers["content-length"] == "\(request.body.count)")
    let config = try #require(request.json?["config"]?.string)
    let decoded = try await Program.run(["base64", "-d"], input: bytes(config))
    #expect(decoded.text == text)
    #expect(request.json?.at("env", "CNI_COMMAND") == "ADD")
  }

  @Test("The request says when it began and how much time is left")
  func headers() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Self.success)])
    _ = try await ShimCall().to(directory, timeout: 10).run()
    let request = try #require(fake.requests.first)
    let boot = try Files.read("/proc/sys/kernel/random/boot_id")
    let stamp = request.headers["x-cnid-stamp"] ?? ""
    #expect(
      stamp.hasPrefix(String(decoding: boot, as: UTF8.self).filter { $0 != "\n" }), "\(stamp)")
    let left = request.headers["x-cnid-time-left"].flatMap { Int($0) } ?? 0
    #expect(left > 0 && left <= 10_000)
  }

  @Test("A result of 2 MB is passed through as it is")
  func largeResult() async throws {
    let directory = try TemporaryDirectory()
    let result =
      "{\n    \"cniVersion\": \"1.1.0\",\n    \"x\": \"\(String(repeating: "y", count: 2 << 20))\"\n}"
    let fake = try FakeDaemon(directory.socket, [.response(200, bytes("{\"Result\":\(result)}"))])
    let run = try await ShimCall().to(directory).run()
    #expect(run.succeeded)
    #expect(run.text.count >= result.count)
    #expect(run.text.hasPrefix(result) && run.text.dropFirst(result.count).allSatisfy(\.isNewline))
    #expect(fake.requests.count == 1)
  }

  @Test("The shim works under any name")
  func otherName() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Self.success)])
    let call = ShimCall().to(directory)
    let link = directory("contrail-k8s-cni")
    _ = try await Program.run(["ln", "-s", Program.shim, link])
    let result = try await Program.run(
      [link], environment: call.environment, input: call.configuration.bytes)
    #expect(result.succeeded, "\(result)")
    #expect(fake.requests.count == 1)
  }
}
