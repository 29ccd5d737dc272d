import CNI
import Daemon
import DaemonAPI
import JSON
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Server: calls, and what is answered to them")
struct CallTests {
  private let plugin = RecordingPlugin()

  private let old = #"{"cniVersion":"0.1.0","name":"net","type":"recorder"}"#

  @Test("ADD of the cniserver tests: 200 and the result's bytes in the envelope")
  func add() async throws {
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(
      CNICall("ADD", old, container: "adsfadsfasfdasdfasf", netns: "/path/to/something"))
    #expect(answer.status == 200)
    #expect(answer.header("content-type") == "application/json")
    let result = String(decoding: try RecordingPlugin.result.printed(as: .v010), as: UTF8.self)
    #expect(answer.text == "{\"Result\":\(result)}")
    let call = try #require(plugin.calls(.add).first)
    #expect(call.request.sandboxID == "adsfadsfasfdasdfasf")
    #expect(call.request.netns == "/path/to/something")
    #expect(call.request.ifName == "eth0")
    #expect(call.request.podNamespace == "awesome-namespace")
    #expect(call.request.podName == "awesome-name")
    #expect(call.configuration == old)
  }

  @Test(
    "on /cni a plugin learns who ran the caller; on the others, whose callers are no shim, it does not"
  )
  func callerName() async throws {
    let daemon = try TestDaemon([plugin])
    // This process calls; who ran it is told by ps(1).
    let parent = try await Program.run(
      ["sh", "-c", "ps -o comm= -p $(ps -o ppid= -p \(Linux.Process.pid))"])
    for path in ["/cni", "/delegate", "/"] {
      _ = try await daemon.send(CNICall("CHECK", to: path, container: "c-\(path.utf8.count)"))
    }
    let names = plugin.calls(.check).map(\.request.callerName)
    #expect(names == [parent.text.split(separator: "\n").first.map(String.init) ?? "", "", ""])
    #expect(parent.succeeded && names.first != "")
  }

  @Test("a request as Multus' shim writes it, byte for byte, is served")
  func multusRequest() async throws {
    let daemon = try TestDaemon([plugin])
    // Its complete environment, sorted, and the configuration in base64.
    let config = Base64.encode(Array(CNICall.network.utf8))
    let body =
      #"{"env":{"CNI_ARGS":"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;"#
      + #"K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1","CNI_COMMAND":"ADD","CNI_CONTAINERID":"c1","#
      + #""CNI_IFNAME":"eth0","CNI_NETNS":"/var/run/netns/cni-1","CNI_PATH":"/opt/cni/bin","#
      + #""HOME":"/root","LANG":"C.UTF-8","NOTIFY_SOCKET":""},"config":"\#(config)"}"#
    let bytes = Array(
      ("POST /cni HTTP/1.1\r\nHost: dummy\r\nUser-Agent: Go-http-client/1.1\r\n"
        + "Content-Length: \(body.utf8.count)\r\nContent-Type: application/json\r\n"
        + "Accept-Encoding: gzip\r\n\r\n\(body)").utf8)
    let socket = daemon.socket
    let answer = try await onThread { try RawHTTP.parse(RawHTTP.exchange(bytes, socket)) }
    #expect(answer.status == 200)
    #expect(answer.json.flatMap { $0["Result"]?["cniVersion"]?.string } == "1.1.0")
    let request = try #require(plugin.calls(.add).first?.request)
    #expect(request.title == "shop/web-0")
    #expect(request.podUID == "u1")
    // Only the variables of CNI and the owners' marks reach a plugin's children.
    let others = request.environment.keys.filter { !$0.hasPrefix("CNI_") }.sorted()
    #expect(others == ["CNID_ATTACHMENT", "CNID_DAEMON"])
    #expect(request.environment.count == 8)
  }

  @Test("the client of DaemonAPI gets the same bytes")
  func client() async throws {
    let daemon = try TestDaemon([plugin])
    let client = DaemonClient(socketPath: daemon.socket)
    let call = CNICall()
    let request = Request(
      env: call.env.compactMapValues { $0 }, config: Array(call.config.utf8))
    let response = try await onThread { () throws(DaemonClientError) in
      try client.waitUntilAPIReady(deadline: soon)
      return try client.doCNI(request, deadline: soon)
    }
    #expect(response.result == (try RecordingPlugin.result.printed(as: .newest)))
  }

  @Test(
    "DEL, CHECK, STATUS and GC: 200 and an empty body",
    arguments: [
      CNICall("DEL"), CNICall("CHECK"), CNICall("STATUS"), .garbageCollection([]),
      CNICall("DEL", netns: nil), CNICall("DEL", netns: ""),
    ])
  func emptyAnswers(call: CNICall) async throws {
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(call)
    #expect(answer.status == 200)
    #expect(answer.body.isEmpty)
    #expect(plugin.calls.value.count == 1)
  }

  @Test("UPDATE: 200 and the new result from a plugin that can, 400 from one that cannot")
  func update() async throws {
    let daemon = try TestDaemon([plugin, NoopPlugin()])
    let answer = try await daemon.send(CNICall("UPDATE"))
    #expect(answer.status == 200)
    #expect(answer.json.map { $0["Result"] != nil } == true)
    let refused = try await daemon.send(
      CNICall("UPDATE", #"{"name":"net","plugin":"kubernetes.io/no-op"}"#))
    #expect(refused.status == 400)
    #expect(refused.message == "plugin kubernetes.io/no-op does not support UPDATE")
  }

  @Test(
    "STATUS and GC need no CNI_ARGS, and call the plugin once",
    arguments: [nil, ""] as [String?], ["STATUS", "GC"])
  func withoutArguments(args: String?, command: String) async throws {
    let daemon = try TestDaemon([plugin])
    var call = command == "GC" ? CNICall.garbageCollection([]) : CNICall("STATUS")
    call.env = ["CNI_COMMAND": command, "CNI_ARGS": args, "CNI_PATH": "/bin"]
    let answer = try await daemon.send(call)
    #expect(answer.status == 200)
    #expect(plugin.calls.value.count == 1)
    #expect(plugin.calls.value.first?.request.sandboxID == "")
  }

  @Test("on / the answer is the bare result; of other verbs, nothing")
  func ovnForm() async throws {
    let daemon = try TestDaemon([plugin])
    let added = try await daemon.send(CNICall("ADD", old, to: "/"))
    #expect(added.status == 200)
    #expect(added.body == (try RecordingPlugin.result.printed(as: .v010)))
    let updated = try await daemon.send(CNICall("UPDATE", old, to: "/"))
    #expect(updated.body == (try RecordingPlugin.result.printed(as: .v010)))
    let deleted = try await daemon.send(CNICall("DEL", old, to: "/"))
    #expect(deleted.status == 200)
    #expect(deleted.body.isEmpty)
  }

  @Test("a plugin's error goes out with its code, message and details")
  func pluginError() async throws {
    let plugin = RecordingPlugin(add: { _ throws(CNIError) in
      throw CNIError(CNIErrorCode(rawValue: 1234), "it is \"broken\"", details: "by\na test")
    })
    let answer = try await TestDaemon([plugin]).send(CNICall())
    #expect(answer.status == 400)
    #expect(answer.header("content-type") == "application/json")
    #expect(answer.text == #"{"code":1234,"msg":"it is \"broken\"","details":"by\na test"}"#)
  }

  @Test(
    "versions: ADD takes the seven, CHECK none before 0.4.0, STATUS and GC none before 1.1.0",
    arguments: [
      ("ADD", "9.8.7", 1, "incompatible CNI versions"),
      ("UPDATE", "9.8.7", 1, "incompatible CNI versions"),
      ("CHECK", "0.3.0", 1, "CHECK needs cniVersion 0.4.0, the network says 0.3.0"),
      ("STATUS", "1.0.0", 1, "STATUS needs cniVersion 1.1.0, the network says 1.0.0"),
      ("GC", "0.3.0", 1, "GC needs cniVersion 1.1.0, the network says 0.3.0"),
      ("CHECK", "adsfsadf", 6, ""),
    ])
  func versions(command: String, version: String, code: Int, message: String) async throws {
    let config = #"{"cniVersion":"\#(version)","name":"net","type":"recorder"}"#
    let answer = try await TestDaemon([plugin]).send(CNICall(command, config))
    #expect(answer.status == 400)
    #expect(answer.code == code)
    #expect(answer.message?.hasPrefix(message) == true)
    #expect(plugin.calls.value.isEmpty)
  }

  @Test("an unknown verb is refused by its name", arguments: ["NOPE", "VERSION", "add", "ADD "])
  func unknownVerb(verb: String) async throws {
    let answer = try await TestDaemon([plugin]).send(CNICall(verb))
    #expect(answer.status == 400)
    #expect(answer.code == 4)
    #expect(answer.message == "unknown cmd type: \(verb)")
  }
}

@Suite("Server: a request's time")
struct DeadlineTests {
  private func remaining(_ headers: [(String, String)]) async throws -> Int {
    let (answer, left) = try await called(headers)
    #expect(answer.status == 200)
    return left
  }

  /// The answer to a call, and what its plugin had left.
  private func called(
    _ headers: [(String, String)]
  ) async throws -> (answer: RawHTTP.Response, left: Int) {
    let left = Watched(0)
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      left.change { $0 = call.request.deadline.remainingMilliseconds }
      return RecordingPlugin.result
    })
    let daemon = try TestDaemon([plugin]) { $0.requestTimeout = 60 }
    return (try await daemon.send(CNICall(headers: headers)), left.value)
  }

  @Test("without a word from the caller a call has the daemon's own time")
  func own() async throws {
    #expect(30_000...60_000 ~= (try await remaining([])))
  }

  @Test("a caller's time counts less two seconds for the way back")
  func callers() async throws {
    #expect(1...18_000 ~= (try await remaining([("X-Cnid-Time-Left", "20000")])))
  }

  @Test("of little time a call has half")
  func little() async throws {
    var call = try await called([("X-Cnid-Time-Left", "2000")])
    // On a busy machine the time may be over before a worker begins.
    for _ in 0..<20 where call.answer.code == 105 {
      call = try await called([("X-Cnid-Time-Left", "2000")])
    }
    #expect(call.answer.status == 200)
    #expect(1...1_000 ~= call.left)
  }

  @Test(
    "a caller cannot have more than the daemon grants, and nonsense counts as nothing said",
    arguments: ["9223372036854775807", "99999999999999999999999", "-5", "x", ""])
  func bounded(text: String) async throws {
    #expect(18_001...60_000 ~= (try await remaining([("X-Cnid-Time-Left", text)])))
  }

  @Test("a call with no time left is not begun: code 105", arguments: ["0", "1"])
  func over(text: String) async throws {
    let plugin = RecordingPlugin()
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(CNICall(headers: [("X-Cnid-Time-Left", text)]))
    #expect(answer.status == 400)
    #expect(answer.code == 105)
    #expect(plugin.calls.value.isEmpty)
  }

  @Test("the error of a step that ran out of time names the step")
  func step() async throws {
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      let journal = try call.record(plan: [], namespace: nil)
      try journal.perform(.make) { _ throws(CNIError) in
        try mapped { () throws(SystemError) in
          try Deadline(nanoseconds: 1).check("wait", "for the kernel")
        }
      }
      return CNIResult()
    })
    let answer = try await TestDaemon([plugin]).send(CNICall())
    #expect(answer.code == 105)
    #expect(answer.message == "deadline passed in step recorder.make")
  }
}
