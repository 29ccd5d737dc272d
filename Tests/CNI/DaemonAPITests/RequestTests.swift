import CNI
import DaemonAPI
import JSON
import Testing

@Suite("Request")
struct RequestTests {
  private func text(_ request: Request) -> String {
    String(decoding: request.encoded(), as: UTF8.self)
  }

  @Test("A request is written as Multus' shim writes it")
  func written() {
    let request = Request(
      env: ["CNI_COMMAND": "ADD", "CNI_ARGS": "A=\"b\";C=é", "": ""], config: Array("{}".utf8))
    #expect(
      text(request)
        == #"{"env":{"":"","CNI_ARGS":"A=\"b\";C=é","CNI_COMMAND":"ADD"},"config":"e30="}"#)
  }

  @Test("Empty members are left out, but cni-args stands wherever attributes do")
  func emptyMembers() {
    #expect(text(Request(env: [:], config: [])) == "{}")
    #expect(
      text(Request(env: [:], config: [], interfaceAttributes: DelegateInterfaceAttributes()))
        == #"{"interfaceAttributes":{"cni-args":null}}"#)
    let attributes = DelegateInterfaceAttributes(
      ips: ["10.1.2.3/24"], mac: "c2:11:22:33:44:55", cniArgs: JSONObject([("a", [1])]))
    #expect(
      text(Request(env: [:], config: [], interfaceAttributes: attributes))
        == #"{"interfaceAttributes":{"ips":["10.1.2.3/24"],"mac":"c2:11:22:33:44:55","cni-args":{"a":[1]}}}"#
    )
  }

  @Test("A byte-exact Multus request is read")
  func read() throws {
    let body =
      #"{"env":{"CNI_ARGS":"IgnoreUnknown=1;K8S_POD_NAME=awesome-name","CNI_COMMAND":"ADD","PATH":"/bin"},"#
      + #""config":"eyJjbmlWZXJzaW9uIjoiMS4xLjAifQ==","interfaceAttributes":{"ips":["10.1.2.3/24"],"#
      + #""mac":"c2:11:22:33:44:55","cni-args":{"k":{"n":1.0}}}}"#
    let request = try Request(parsing: Array(body.utf8))
    #expect(
      request.env == [
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=awesome-name", "CNI_COMMAND": "ADD",
        "PATH": "/bin",
      ])
    #expect(request.config == Array(#"{"cniVersion":"1.1.0"}"#.utf8))
    #expect(request.interfaceAttributes?.ips == ["10.1.2.3/24"])
    #expect(request.interfaceAttributes?.mac == "c2:11:22:33:44:55")
    #expect(request.interfaceAttributes?.cniArgs?["k"]?["n"]?.number?.text == "1.0")
  }

  @Test("What was written is read as it was, the configuration to the byte")
  func roundTrip() throws {
    let request = Request(
      env: ["CNI_COMMAND": "DEL", "TRACEPARENT": "00-\u{1F600}-\n\u{7F}"],
      config: (0...255).map { UInt8($0) },
      interfaceAttributes: DelegateInterfaceAttributes(ips: ["", "x"], cniArgs: JSONObject()))
    #expect(try Request(parsing: request.encoded()) == request)
  }

  @Test(
    "Absent and null members are the same, and unknown ones are passed over",
    arguments: [
      "null", "{}", #"{"env":null,"config":null,"interfaceAttributes":null}"#,
      #"{"env":{},"config":""}"#, #"{"new":[{}],"environment":{"A":"b"},"CONFIG":""}"#,
    ])
  func empty(body: String) throws {
    #expect(try Request(parsing: Array(body.utf8)) == Request(env: [:], config: []))
  }

  @Test("Of several equal members the last counts")
  func duplicates() throws {
    let body = #"{"env":{"A":"1","A":"2"},"config":1,"config":"Zg=="}"#
    let request = try Request(parsing: Array(body.utf8))
    #expect(request == Request(env: ["A": "2"], config: [0x66]))
  }

  static let refused: [(String, String)] = [
    ("", "no JSON: it is empty"),
    ("not json", "no JSON: line 1, column 2: unexpected \"o\""),
    ("[]", "request: array found where an object belongs"),
    ("\"hunter2\"", "request: string found where an object belongs"),
    (#"{"env":[]}"#, "env: array found where an object belongs"),
    (#"{"env":{"A":1}}"#, "env: a variable: number found where a string belongs"),
    (#"{"env":{"A":null}}"#, "env: a variable: null found where a string belongs"),
    (#"{"env":{"":"x"}}"#, "env: a variable: cannot be in an environment"),
    (#"{"env":{"A=B":"x"}}"#, "env: a variable: cannot be in an environment"),
    (#"{"env":{"A\u0000":"x"}}"#, "env: a variable: cannot be in an environment"),
    (#"{"env":{"A":"x\u0000"}}"#, "env: a variable: the text has a zero byte"),
    (#"{"config":{"secret":"hunter2"}}"#, "config: object found where a string belongs"),
    (#"{"config":"Zg=hunter2"}"#, "config: illegal base64 data at input byte 2"),
    (#"{"interfaceAttributes":"x"}"#, "interfaceAttributes: string found where an object belongs"),
    (
      #"{"interfaceAttributes":{"ips":"x"}}"#,
      "interfaceAttributes.ips: string found where an array belongs"
    ),
    (
      #"{"interfaceAttributes":{"ips":[1]}}"#,
      "interfaceAttributes.ips[0]: number found where a string belongs"
    ),
    (
      #"{"interfaceAttributes":{"mac":1}}"#,
      "interfaceAttributes.mac: number found where a string belongs"
    ),
    (
      #"{"interfaceAttributes":{"cni-args":[]}}"#,
      "interfaceAttributes.cni-args: array found where an object belongs"
    ),
  ]

  @Test("What is not a request is refused with code 6 and none of its text", arguments: refused)
  func refusals(body: String, message: String) {
    #expect(throws: CNIError(.decodingFailure, message)) {
      try Request(parsing: Array(body.utf8))
    }
  }

  @Test("A delegate request has the six variables of Multus' client")
  func delegateRequest() {
    let attributes = DelegateInterfaceAttributes(mac: "c2:11:22:33:44:55")
    let request = Request.createDelegateRequest(
      command: "add", containerID: "id", netns: "/run/netns/x", ifName: "net1", podNamespace: "ns",
      podName: "pod", podUID: "uid", config: [1, 2], interfaceAttributes: attributes)
    let expected = Request(
      env: [
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "id", "CNI_NETNS": "/run/netns/x",
        "CNI_IFNAME": "net1", "CNI_ARGS": "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_UID=uid",
      ], config: [1, 2], interfaceAttributes: attributes)
    #expect(request == expected)
  }
}
