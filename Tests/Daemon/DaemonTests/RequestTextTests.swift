import CNI
import PluginKit
import Testing
import TestSupport

/// A request that is refused, and the beginning of what it is told.
struct Refusal: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let call: CNICall
  let message: String

  init(_ message: String, _ call: CNICall, _ comment: String = "") {
    self.call = call
    self.message = message
    testDescription = "\(call.path) \(message) \(comment)"
  }
}

private let command = "could not extract the CNI command args: "
private let pod = "could not extract the kubernetes runtime args: "
private let broken = #"{"name":"#

@Suite("Server: refused requests, in the words of Multus and OVN-Kubernetes")
struct RequestTextTests {
  private func expect(_ refusal: Refusal, needsPod: Bool = false) async throws {
    let plugin = RecordingPlugin(needsPod: needsPod)
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(refusal.call)
    #expect(answer.status == 400)
    #expect(answer.header("content-type") == "application/json")
    #expect(answer.message?.hasPrefix(refusal.message) == true, "\(answer)")
    #expect(answer.code.map { $0 != 3 } == true)
    #expect(plugin.calls.value.isEmpty)
    // The daemon lives.
    #expect(try await daemon.send("GET", "/healthz").status == 200)
  }

  @Test(
    "/cni: the texts, first failure first",
    arguments: [
      Refusal(command + "unexpected or missing CNI_COMMAND", CNICall(nil)),
      Refusal(command + "unexpected or missing CNI_COMMAND", CNICall("")),
      Refusal(
        command + "unexpected or missing CNI_COMMAND",
        CNICall(nil, broken, container: nil, netns: nil)),
      Refusal(command + "missing CNI_CONTAINERID", CNICall(container: nil)),
      Refusal(
        command + "missing CNI_CONTAINERID", CNICall("ADD", broken, container: nil, netns: nil)),
      Refusal(command + "missing CNI_NETNS", CNICall(netns: nil)),
      Refusal(command + "missing CNI_NETNS", CNICall("CHECK", broken, netns: nil, args: "b")),
      Refusal(command + "failed to unmarshall CNI config: ", CNICall("ADD", broken)),
      Refusal(command + "failed to unmarshall CNI config: ", CNICall("DEL", broken)),
      Refusal(command + "failed to unmarshall CNI config: ", CNICall("ADD", "")),
      Refusal(command + "failed to unmarshall CNI config: ", CNICall("ADD", broken, args: "b")),
      Refusal(pod + "invalid CNI_ARG 'b'", CNICall(args: "K8S_POD_NAME=a;b")),
      Refusal(pod + "invalid CNI_ARG ''", CNICall(args: "K8S_POD_NAME=a;")),
      Refusal(pod + "invalid CNI_ARG 'a=b=c'", CNICall("CHECK", args: "a=b=c")),
      Refusal(pod + "invalid CNI_ARG 'b'", CNICall("UPDATE", args: "b")),
      Refusal("invalid characters in containerID", CNICall(container: "some-%%container-id")),
      Refusal("missing containerID", CNICall(container: "")),
      Refusal("interface name is too long", CNICall(ifName: "1234567890123456")),
    ])
  func cni(refusal: Refusal) async throws { try await expect(refusal) }

  @Test(
    "/cni with a plugin that must know the pod: the texts of its identity",
    arguments: [
      Refusal(command + "missing CNI_ARGS", CNICall(args: nil)),
      Refusal(pod + "invalid CNI_ARG ''", CNICall(args: "")),
      Refusal(pod + "missing K8S_POD_NAMESPACE", CNICall(args: "K8S_POD_NAME=a")),
      Refusal(pod + "missing K8S_POD_NAME", CNICall(args: "K8S_POD_NAMESPACE=a")),
      Refusal(
        "required CNI variable missing. pod name: ; pod namespace: shop",
        CNICall(args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=")),
      Refusal(
        "required CNI variable missing. pod name: web; pod namespace: ",
        CNICall(args: "K8S_POD_NAMESPACE= ;K8S_POD_NAME=web")),
    ])
  func identity(refusal: Refusal) async throws { try await expect(refusal, needsPod: true) }

  @Test(
    "/delegate: the same texts, and the pod must always be named",
    arguments: [
      Refusal(command + "missing CNI_ARGS", CNICall(to: "/delegate", args: nil)),
      Refusal(command + "missing CNI_ARGS", CNICall("ADD", broken, to: "/delegate", args: nil)),
      Refusal(command + "missing CNI_NETNS", CNICall(to: "/delegate", netns: nil, args: nil)),
      Refusal(
        command + "failed to unmarshall CNI config: ",
        CNICall("ADD", broken, to: "/delegate", args: "b")),
      Refusal(pod + "invalid CNI_ARG 'b'", CNICall(to: "/delegate", args: "K8S_POD_NAME=a;b")),
      Refusal(pod + "missing K8S_POD_NAMESPACE", CNICall("DEL", to: "/delegate", args: "a=b")),
      Refusal("unknown cmd type: GC", CNICall("GC", to: "/delegate")),
      Refusal("unknown cmd type: NOPE", CNICall("NOPE", to: "/delegate")),
    ])
  func delegate(refusal: Refusal) async throws { try await expect(refusal) }

  @Test(
    "/: OVN-Kubernetes' texts without anything before them, the configuration last",
    arguments: [
      Refusal("unexpected or missing CNI_COMMAND", CNICall(nil, to: "/")),
      Refusal("missing CNI_CONTAINERID", CNICall("ADD", broken, to: "/", container: nil)),
      Refusal("missing CNI_NETNS", CNICall(to: "/", netns: nil, args: nil)),
      Refusal("missing CNI_ARGS", CNICall("ADD", broken, to: "/", args: nil)),
      Refusal("invalid CNI_ARG 'b'", CNICall("ADD", broken, to: "/", args: "K8S_POD_NAME=a;b")),
      Refusal("missing K8S_POD_NAMESPACE", CNICall("ADD", broken, to: "/", args: "a=b")),
      Refusal(
        "missing K8S_POD_NAME", CNICall("ADD", broken, to: "/", args: "K8S_POD_NAMESPACE=a")),
      Refusal("broken stdin args", CNICall("ADD", broken, to: "/")),
    ])
  func ovn(refusal: Refusal) async throws { try await expect(refusal) }

  @Test(
    "a body that is no request is refused, and the daemon lives",
    arguments: ["not json", "", "[]", "1", "{", #"{"env":1}"#, #"{"config":"?"}"#, "\u{0}"],
    ["/cni", "/delegate", "/"])
  func noRequest(body: String, path: String) async throws {
    let daemon = try TestDaemon([])
    let answer = try await daemon.send("POST", path, body)
    #expect(answer.status == 400)
    #expect(answer.code == 6 || answer.code == 4)
    #expect(answer.message?.isEmpty == false)
    if path == "/", body != "" {
      #expect(answer.message?.hasPrefix("JSON unmarshal error: ") == true)
    }
    #expect(try await daemon.send("GET", "/healthz").status == 200)
  }

  @Test("a request without CNI_IFNAME is for eth0")
  func defaultInterface() async throws {
    let plugin = RecordingPlugin()
    #expect(try await TestDaemon([plugin]).send(CNICall(ifName: nil)).status == 200)
    #expect(plugin.calls.value.first?.request.ifName == "eth0")
  }
}

@Suite("Server: whose call it is")
struct PodIdentityTests {
  @Test(
    "on /cni the pod need not be named, so that podman and ctr are served",
    arguments: [nil, "", "IgnoreUnknown=1", "a=b"] as [String?])
  func notNeeded(args: String?) async throws {
    let plugin = RecordingPlugin()
    #expect(try await TestDaemon([plugin]).send(CNICall(args: args)).status == 200)
    let request = try #require(plugin.calls(.add).first?.request)
    #expect(request.podNamespace == "" && request.podName == "" && request.podUID == "")
  }

  @Test("the pod's namespace, name and uid are taken from CNI_ARGS, trimmed, the last one counts")
  func taken() async throws {
    let plugin = RecordingPlugin(needsPod: true)
    let args = "K8S_POD_NAME=old; K8S_POD_NAMESPACE = shop ;K8S_POD_NAME=web-0;K8S_POD_UID=u-1;X=y"
    #expect(try await TestDaemon([plugin]).send(CNICall(args: args)).status == 200)
    let request = try #require(plugin.calls(.add).first?.request)
    #expect(request.title == "shop/web-0")
    #expect(request.podUID == "u-1")
    #expect(request.arguments["X"] == "y")
    #expect(request.environment["CNI_ARGS"] == args)
  }

  @Test(
    "a DEL on /cni need not say which pod it is for: the record does", arguments: [nil, "", "a=b"])
  func unnamed(args: String?) async throws {
    let plugin = RecordingPlugin(needsPod: true)
    let daemon = try TestDaemon([plugin])
    #expect(try await daemon.send(CNICall("DEL", args: args)).status == 200)
    #expect(plugin.calls.value.map(\.command) == [.delete])
  }

  @Test(
    "a malformed CNI_ARGS never fails a DEL; what can be read of it is used",
    arguments: ["/cni", "/delegate", "/"], [false, true])
  func malformed(path: String, needsPod: Bool) async throws {
    let plugin = RecordingPlugin(needsPod: needsPod)
    let daemon = try TestDaemon([plugin])
    for args in ["K8S_POD_NAME=web;b", ";;", "a=b=c;K8S_POD_NAME=web", ""] {
      let answer = try await daemon.send(CNICall("DEL", to: path, args: args))
      #expect(answer.status == 200, "\(args): \(answer)")
    }
    #expect(plugin.calls(.delete).first?.request.podName == "web")
  }
}

@Suite("Server: what an error never tells")
struct SecrecyTests {
  private static let secret = "hunter2-very-secret"

  private static func config(_ more: String) -> String {
    #"{"cniVersion":"1.1.0","name":"net","type":"recorder","kubeconfig":"\#(secret)"\#(more)}"#
  }

  @Test(
    "no part of the configuration but the one value that is wrong",
    arguments: [
      CNICall("ADD", String(config("").dropLast())),
      CNICall("ADD", config("") + "x"), CNICall("ADD", "\"\(secret)\""),
      CNICall("ADD", config(#","ipam":"\#(secret)""#)),
      CNICall("ADD", config(#","cniVersion":"9.9.9""#)),
      CNICall("ADD", config(#","plugin":"nope""#)), CNICall("ADD", config(#","plugin":[1]"#)),
      CNICall("ADD", config(#","name":"a b""#)), CNICall("ADD", config(#","type":"../x""#)),
      CNICall("ADD", config(""), args: "b"), CNICall("ADD", config(""), container: "%"),
      CNICall("GC", config("")), CNICall("GC", config(#","cni.dev/attachments":[1]"#)),
      CNICall("NOPE", config("")), CNICall("ADD", config(""), to: "/delegate", args: nil),
      CNICall("ADD", config(#","plugins":[]"#), to: "/delegate"),
      CNICall("ADD", String(config("").dropLast()), to: "/"),
      CNICall("ADD", config(#","prevResult":{"ips":[{"address":1,"x":"\#(secret)"}]}"#)),
    ])
  func secrets(call: CNICall) async throws {
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      try call.request.configuration.prevResult() ?? CNIResult()
    })
    let daemon = try TestDaemon([plugin])
    let answer = try await daemon.send(call)
    #expect(answer.status == 400)
    #expect(!answer.text.contains(Self.secret))
    #expect(try await becomes { !daemon.log.isEmpty })
    #expect(!daemon.log.contains(Self.secret))
  }

  @Test("nor of a body that is no request")
  func body() async throws {
    for body in [Self.secret, #"{"env":{"CNI_COMMAND":"ADD","X":["\#(Self.secret)"]}}"#] {
      let answer = try await TestDaemon([]).send("POST", "/cni", body)
      #expect(answer.status == 400)
      #expect(!answer.text.contains(Self.secret))
    }
  }
}
