import CNI
import JSON
import Linux
import PluginKit
import TestSupport
import Testing

@testable import Daemon

/// What the log says of calls, read as the JSON objects that it writes.
@Suite("The log of calls")
struct CallLogTests {
  private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
  private static let requestID = "0123456789abcdef0123456789abcdef"
  private static let made = CNIResult(
    interfaces: [
      CNIResult.Interface(name: "host7", mac: "0a:00:00:00:00:01"),
      CNIResult.Interface(
        name: "eth0", mac: "0a:00:00:00:00:02", sandbox: "/some/netns/path"),
    ], ips: RecordingPlugin.result.ips)

  private func daemon(
    _ plugin: RecordingPlugin, level: LogLevel = .info
  ) throws -> TestDaemon {
    try TestDaemon([plugin]) { configuration in
      configuration.logFormat = .json
      configuration.logLevel = level
    }
  }

  private func traced(_ call: CNICall) -> CNICall {
    var call = call.with("X-Cnid-Request-Id", Self.requestID)
    call.env["TRACEPARENT"] = "00-\(Self.trace)-00f067aa0ba902b7-01"
    return call
  }

  /// Lines about calls, once there are so many with this message.
  private func lines(
    _ daemon: TestDaemon, _ message: String, count: Int = 1
  ) async throws -> [JSONValue] {
    @Sendable func found() -> [JSONValue] {
      daemon.log.split(separator: "\n").compactMap { try? JSONValue.parse(Array($0.utf8)) }
        .filter { $0["msg"]?.string == message }
    }
    #expect(try await becomes { found().count >= count }, "\(daemon.log)")
    return found()
  }

  @Test("the line of an ADD has its address, MAC, host link, request and trace")
  func add() async throws {
    let made = Self.made
    let daemon = try daemon(
      RecordingPlugin(add: { call throws(CNIError) in
        _ = try RecordingPlugin.make(call)
        return made
      }))
    _ = try await daemon.send(traced(CNICall()))
    let line = try #require(try await lines(daemon, "ADD done").first)
    for (key, value) in [
      ("level", "info"), ("command", "ADD"), ("pod", "awesome-namespace/awesome-name"),
      ("container", "some-container-id"), ("ifname", "eth0"), ("network", "net"),
      ("plugin", "recorder"), ("address", "10.1.2.3/32"), ("mac", "0a:00:00:00:00:02"),
      ("host_link", "host7"), ("request", Self.requestID), ("trace", Self.trace),
    ] { #expect(line[key]?.string == value, "\(key)") }
    #expect(line["code"]?.int == 0 && line["ms"]?.int != nil)
  }

  @Test("each step of a call is a debug line with its milliseconds and its call")
  func steps() async throws {
    let daemon = try daemon(RecordingPlugin(), level: .debug)
    _ = try await daemon.send(traced(CNICall()))
    let line = try #require(try await lines(daemon, "ADD step").first)
    #expect(line["level"]?.string == "debug" && line["step"]?.string == "recorder.make")
    #expect(line["container"]?.string == "some-container-id")
    #expect(line["trace"]?.string == Self.trace)
    let milliseconds = try #require(line["ms"]?.number?.text)
    #expect(milliseconds.wholeMatch(of: /\d+\.\d{3}/) != nil)
  }

  @Test("STATUS and CHECK that succeed are debug lines", arguments: ["STATUS", "CHECK"])
  func quiet(verb: String) async throws {
    let daemon = try daemon(RecordingPlugin(), level: .debug)
    _ = try await daemon.send(CNICall(verb))
    #expect(try await lines(daemon, "\(verb) done").first?["level"]?.string == "debug")
  }

  @Test("a call that fails is a warning with its code and its error")
  func failed() async throws {
    let daemon = try daemon(
      RecordingPlugin(others: [
        .check: { _ throws(CNIError) in throw CNIError(.kernel, "eth0 is gone") }
      ]))
    _ = try await daemon.send(traced(CNICall("CHECK")))
    let line = try #require(try await lines(daemon, "CHECK failed").first)
    #expect(line["level"]?.string == "warning" && line["code"]?.int == 100)
    #expect(line["error"]?.string == "eth0 is gone" && line["trace"]?.string == Self.trace)
  }

  @Test("a refused request is a warning that says whose it is")
  func refused() async throws {
    let daemon = try daemon(RecordingPlugin())
    _ = try await daemon.send(traced(CNICall(netns: nil)))
    let line = try #require(try await lines(daemon, "request refused").first)
    for (key, value) in [
      ("level", "warning"), ("command", "ADD"), ("container", "some-container-id"),
      ("pod", "awesome-namespace/awesome-name"), ("request", Self.requestID),
      ("trace", Self.trace),
    ] { #expect(line[key]?.string == value, "\(key)") }
    #expect(line["code"]?.int == 4)
    #expect(line["error"]?.string?.contains("CNI_NETNS") == true)
  }

  @Test("a refused request whose words are huge makes no huge line")
  func hugeRefusal() async throws {
    let daemon = try daemon(RecordingPlugin())
    _ = try await daemon.send(CNICall(container: String(repeating: "x", count: 20_000), netns: nil))
    let line = try #require(try await lines(daemon, "request refused").first)
    #expect(line["container"]?.string == String(repeating: "x", count: 128))
  }

  @Test("what a plugin says in a call says whose call it is")
  func plugin() async throws {
    let daemon = try daemon(
      RecordingPlugin(add: { call throws(CNIError) in
        call.host.log(.warning, "odd")
        return try RecordingPlugin.make(call)
      }))
    _ = try await daemon.send(traced(CNICall()))
    let line = try #require(try await lines(daemon, "odd").first)
    #expect(line["container"]?.string == "some-container-id")
    #expect(line["trace"]?.string == Self.trace)
  }

  @Test("an undo that fails is told with the trace of its ADD")
  func undo() async throws {
    let daemon = try daemon(
      RecordingPlugin(
        add: { call throws(CNIError) in
          _ = try RecordingPlugin.make(call)
          throw CNIError(.kernel, "no")
        },
        others: [.delete: { _ throws(CNIError) in throw CNIError(.kernel, "not either") }]))
    _ = try await daemon.send(traced(CNICall()))
    let text = "a failed ADD could not be undone; it is tried again"
    let line = try #require(try await lines(daemon, text).first)
    #expect(line["trace"]?.string == Self.trace)
  }

  @Test(
    "what is no trace context is no trace",
    arguments: [
      "", "00", "00-x-y-z", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
    ])
  func noTrace(text: String) { #expect(Trace.id(["TRACEPARENT": text]) == "") }
}
