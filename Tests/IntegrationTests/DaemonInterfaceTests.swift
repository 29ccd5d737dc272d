import JSON
import Linux
import TestSupport
import Testing

/// The daemon's interface on its socket, with requests composed byte by byte.
@Suite(.daemonLog) struct DaemonInterfaceTests {
  /// The body of a call: environment and configuration as Multus' shim sends them.
  static func body(
    _ environment: [String: String], _ configuration: JSONValue, _ attributes: JSONValue? = nil
  ) async throws -> [UInt8] {
    let encoded = try await Program.run(["base64", "-w", "0"], input: configuration.bytes)
    var env: JSONValue = [:]
    for key in environment.keys.sorted() {
      env = env.setting(key, environment[key].map { .string($0) })
    }
    var body: JSONValue = ["env": env, "config": .string(encoded.text)]
    if let attributes { body = body.setting("interfaceAttributes", attributes) }
    return body.bytes
  }

  static let complete = [
    "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "adsfadsfasfdasdfasf",
    "CNI_NETNS": "/path/to/something",
    "CNI_ARGS": "K8S_POD_NAMESPACE=awesome-namespace;K8S_POD_NAME=awesome-name",
  ]

  /// One call with some variables changed.
  private func call(
    _ node: TestNode, _ path: String, _ changes: [String: String?],
    _ configuration: JSONValue? = nil
  ) async throws -> RawHTTP.Response {
    var environment = Self.complete
    for (key, value) in changes { environment[key] = value }
    let body = try await Self.body(environment, configuration ?? node.macvlan())
    return try await node.http("POST", path, body)
  }

  @Test("DEL of something that never was is 200 with an empty body", arguments: ["/cni", "/"])
  func deleteUnknown(path: String) async throws {
    try await withTestNode { node in
      let answer = try await call(node, path, ["CNI_COMMAND": "DEL"])
      #expect(answer.status == 200, "\(answer)")
      #expect(answer.body.isEmpty)
    }
  }

  @Test("The result stands in an envelope on /cni and alone on /")
  func envelope() async throws {
    try await withTestNode { node in
      for (path, expected) in [("/cni", true), ("/", false)] {
        let pod = try await TestPod()
        let answer = try await call(
          node, path, ["CNI_CONTAINERID": pod.containerID, "CNI_NETNS": pod.netns])
        #expect(answer.status == 200, "\(answer)")
        #expect((answer.json?["Result"] != nil) == expected)
        #expect((answer.json?["interfaces"] != nil) == !expected)
      }
    }
  }

  @Test("/ and /delegate need the pod's identity", arguments: ["/", "/delegate"])
  func noArguments(path: String) async throws {
    try await withTestNode { node in
      let answer = try await call(node, path, ["CNI_ARGS": nil])
      #expect(answer.status == 400)
      #expect(answer.message?.contains("missing CNI_ARGS") == true, "\(answer)")
    }
  }

  @Test("/cni takes an absent or empty CNI_ARGS as no arguments", arguments: [nil, ""])
  func withoutIdentity(value: String?) async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let changes = [
        "CNI_ARGS": value, "CNI_CONTAINERID": pod.containerID, "CNI_NETNS": pod.netns,
      ]
      let answer = try await call(node, "/cni", changes)
      #expect(answer.status == 200, "\(answer)")
    }
  }

  @Test(
    "A request that lacks something says what",
    arguments: [
      ("CNI_NETNS", nil, "missing CNI_NETNS"),
      ("CNI_COMMAND", nil, "unexpected or missing CNI_COMMAND"),
      ("CNI_CONTAINERID", nil, "missing CNI_CONTAINERID"),
      ("CNI_ARGS", "K8S_POD_NAME=a;b", "invalid CNI_ARG 'b'"),
    ])
  func incomplete(name: String, value: String?, text: String) async throws {
    try await withTestNode { node in
      for path in ["/cni", "/delegate", "/"] {
        let answer = try await call(node, path, [name: value])
        #expect(answer.status == 400)
        #expect(answer.message?.contains(text) == true, "\(path): \(answer)")
        #expect(answer.code != nil && answer.code != 3)
      }
    }
  }

  @Test("A malformed CNI_ARGS does not stop a DEL")
  func deleteWithBadArguments() async throws {
    try await withTestNode { node in
      let answer = try await call(
        node, "/cni", ["CNI_COMMAND": "DEL", "CNI_ARGS": "K8S_POD_NAME=a;b"])
      #expect(answer.status == 200, "\(answer)")
    }
  }

  @Test(
    "A body that is no request is refused and the daemon lives on",
    arguments: ["not json", "", "null", "[]", "{", #"{"env":1}"#, #"{"config":"%%%"}"#])
  func garbage(text: String) async throws {
    try await withTestNode { node in
      let answer = try await node.http("POST", "/cni", Array(text.utf8))
      #expect(answer.status == 400, "\(answer)")
      #expect(answer.code != nil)
      #expect(try await node.http("GET", "/healthz").status == 200)
    }
  }

  @Test(
    "Another method is 405",
    arguments: [("GET", "/cni"), ("PUT", "/delegate"), ("GET", "/"), ("DELETE", "/healthz")])
  func method(method: String, path: String) async throws {
    try await withTestNode { node in
      let answer = try await node.http(method, path)
      #expect(answer.status == 405)
      #expect(answer.text == "Method not allowed\n")
    }
  }

  @Test("Health and readiness answer GET and POST with an empty 200")
  func health() async throws {
    try await withTestNode { node in
      for path in ["/healthz", "/readyz"] {
        let got = try await node.http("GET", path)
        #expect(got.status == 200 && got.body.isEmpty, "\(got)")
        let posted = try await node.http("POST", path, Array("null".utf8))
        #expect(posted.status == 200 && posted.body.isEmpty, "\(posted)")
      }
    }
  }

  @Test("An unknown path is 404")
  func unknownPath() async throws {
    try await withTestNode { node in
      for method in ["GET", "POST"] {
        let answer = try await node.http(method, "/nope")
        #expect(answer.status == 404)
      }
    }
  }

  @Test(
    "STATUS and GC need no CNI_ARGS", arguments: ["STATUS", "GC"], [nil, ""] as [String?])
  func nodeWide(command: String, arguments: String?) async throws {
    try await withTestNode { node in
      let changes = [
        "CNI_COMMAND": command, "CNI_ARGS": arguments, "CNI_CONTAINERID": nil, "CNI_NETNS": nil,
      ]
      let configuration = node.macvlan(["cni.dev/valid-attachments": []])
      let answer = try await call(node, "/cni", changes, configuration)
      #expect(answer.status == 200, "\(answer)")
      #expect(answer.body.isEmpty)
    }
  }

  @Test("An unknown verb is named")
  func unknownVerb() async throws {
    try await withTestNode { node in
      let answer = try await call(node, "/cni", ["CNI_COMMAND": "NOPE"])
      #expect(answer.status == 400)
      #expect(answer.message?.contains("NOPE") == true, "\(answer)")
    }
  }

  @Test("A configuration that no plugin claims is told which plugins there are")
  func unknownPlugin() async throws {
    try await withTestNode { node in
      let answer = try await call(node, "/cni", [:], node.macvlan(["plugin": "nope"]))
      #expect(answer.code == 7)
      #expect(answer.message?.contains("macvlan") == true, "\(answer)")
    }
  }

  @Test("A request as Multus' Go client writes it is answered and its connection closed")
  func multus() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      var environment = pod.environment("ADD")
      environment["PATH"] = "/usr/bin:/bin"
      environment["HOME"] = "/root"
      let body = try await Self.body(environment, node.macvlan())
      let head =
        "POST /cni HTTP/1.1\r\nHost: dummy\r\nUser-Agent: Go-http-client/1.1\r\n"
        + "Content-Length: \(body.count)\r\nContent-Type: application/json\r\n"
        + "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"
      let socket = node.socket
      let answer = try await onThread {
        try RawHTTP.parse(RawHTTP.exchange(Array(head.utf8) + body, socket))
      }
      #expect(answer.status == 200, "\(answer)")
      #expect(answer.header("connection") == "close")
      #expect(answer.json?.at("Result", "ips", 0, "address")?.string == "10.1.2.2/24")

      let probe =
        "POST /readyz HTTP/1.1\r\nHost: dummy\r\nUser-Agent: Go-http-client/1.1\r\n"
        + "Content-Length: 4\r\nContent-Type: application/json\r\n"
        + "Accept-Encoding: gzip\r\nConnection: close\r\n\r\nnull"
      let ready = try await onThread {
        try RawHTTP.parse(RawHTTP.exchange(Array(probe.utf8), socket))
      }
      #expect(ready.status == 200 && ready.body.isEmpty)
    }
  }

  @Test("Curl and anybody else who knows HTTP can ask for its health")
  func curl() async throws {
    try await withTestNode { node in
      let result = try await Program.run([
        "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", node.socket,
        "http://dummy/healthz",
      ])
      #expect(result.text == "200", "\(result)")
    }
  }

  @Test("What /delegate is told of the interface reaches the plugin")
  func delegate() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let configuration = node.macvlan([
        "type": "macvlan", "capabilities": ["mac": true, "ips": true],
        "ipam": ["type": "static"],
      ])
      let attributes: JSONValue = [
        "mac": "c2:11:22:33:44:55", "ips": ["10.9.8.7/24"], "cni-args": .null,
      ]
      let body = try await Self.body(
        pod.environment("ADD", ifname: "net1"), configuration, attributes)
      let answer = try await node.http("POST", "/delegate", body)
      #expect(answer.status == 200, "\(answer)")
      let result = try #require(answer.json?["Result"])
      #expect(result.at("interfaces", 0, "mac") == "c2:11:22:33:44:55")
      #expect(result.at("ips", 0, "address") == "10.9.8.7/24")
      #expect(try await pod.network.addresses("net1") == ["10.9.8.7/24"])
    }
  }

  @Test("UPDATE of a plugin that has none is refused")
  func updateRefused() async throws {
    try await withTestNode { node in
      let configuration = node.macvlan(["plugin": "kubernetes.io/no-op"])
      let answer = try await call(node, "/cni", ["CNI_COMMAND": "UPDATE"], configuration)
      #expect(answer.status == 400)
      #expect(answer.message?.contains("UPDATE") == true, "\(answer)")
    }
  }

  @Test("Further sockets are served alike, and private too")
  func furtherSockets() async throws {
    let directory = try TemporaryDirectory()
    let socket = directory("multus/multus.sock")
    try await withTestNode(TestNode.Options(settings: ["sockets": [.string(socket)]])) { node in
      let answer = try await onThread { try RawHTTP.send("POST", "/readyz", [], socket) }
      #expect(answer.status == 200)
      #expect(try Files.status(socket).permissions == 0o600)
      let pod = try await TestPod()
      let body = try await Self.body(pod.environment("ADD"), node.macvlan())
      let added = try await onThread { try RawHTTP.send("POST", "/cni", body, socket) }
      #expect(added.status == 200, "\(added)")
      try await node.delete(pod, node.macvlan())
    }
  }

  @Test("A DEL that fails is reported on /delegate")
  func delegateDeleteFails() async throws {
    try await withTestNode { node in
      let plugins = try TemporaryDirectory()
      try plugins.install(
        "refusing", #"echo '{"cniVersion":"1.0.0","code":123,"msg":"no DEL today"}'; exit 1"#)
      let pod = try await TestPod()
      var environment = pod.environment("DEL", ifname: "net1")
      environment["CNI_PATH"] = plugins.path
      let body = try await Self.body(
        environment, node.macvlan(["type": "macvlan", "ipam": ["type": "refusing"]]), [:])
      let answer = try await node.http("POST", "/delegate", body)
      #expect(answer.status == 400, "\(answer)")
      #expect(answer.text.contains("no DEL today"))
    }
  }
}

extension TemporaryDirectory {
  /// Puts an executable shell script here.
  func install(_ name: String, _ script: String) throws {
    try Files.write(
      self(name), Array("#!/bin/sh\n\(script)\n".utf8), mode: [.write, .create, .exclusive],
      permissions: 0o755)
  }
}
