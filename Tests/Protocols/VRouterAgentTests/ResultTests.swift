import Addresses
import JSON
import TestSupport
import Testing

@testable import VRouterAgent

@Suite("What the agent's answers say")
struct ResultTests {
  @Test("An interface of /vm-cfg has its names, annotations and no VLAN")
  func configuration() {
    let result = VRouter.Result(Fixture.configured(Fixture.vmi1, "1/2", network: "net-a"))
    #expect(result.id == Fixture.vmi1 && result.vmUUID == Fixture.pod && result.vnID == Fixture.vn0)
    #expect(result.vnName == "default-domain:k8s-default:k8s-default-pod-network")
    #expect(result.mac == MACAddress("02:0b:6d:9c:52:8e") && result.vlanID == nil)
    var annotations = VRouter.Annotations()
    annotations.cluster = "k8s"
    annotations.index = VRouter.Annotations.Index(number: 1, total: 2)
    annotations.kind = "Pod"
    annotations.name = "web-0"
    annotations.namespace = "default"
    annotations.network = "net-a"
    annotations.owner = "k8s"
    annotations.project = "k8s-default"
    #expect(result.annotations == annotations)
    #expect(result.ipv4 == nil && result.ipv6 == nil)
  }

  @Test("An interface of /vm has its addresses, and the pod under another name")
  func address() {
    var value = Fixture.ready(Fixture.vmi0)
    for (key, text) in [
      ("v6-ip-address", "fd00::5"), ("v6-gateway", "fd00::1"), ("v6-dns-server", "fd00::2"),
    ] {
      value = value.setting(key, .string(text))
    }
    let result = VRouter.Result(value)
    #expect(result.vmUUID == Fixture.pod && result.systemName == "tapeth0-5f0c7a")
    let ipv4 = VRouter.Address(
      address: IPAddress(v4: 0x0A2F_FFE7), prefixLength: 12, gateway: IPAddress(v4: 0x0A2F_FFFE),
      nameServer: IPAddress(v4: 0x0A2F_FFFD))
    #expect(result.ipv4 == ipv4)
    #expect(result.ipv6?.address == IPAddress("fd00::5") && result.ipv6?.prefixLength == nil)
    #expect(result.ipv6?.gateway == IPAddress("fd00::1"))
    #expect(result.ipv6?.nameServer == IPAddress("fd00::2"))
  }

  /// A member as it may come, and what of it counts.
  struct Odd: Sendable, CustomTestStringConvertible {
    let key: String
    let value: JSONValue
    let kept: @Sendable (VRouter.Result) -> Bool
    var testDescription: String { "\(key) \(String(decoding: value.bytes, as: UTF8.self))" }
  }

  static let oddMembers: [Odd] = [
    Odd(key: "mac-address", value: "00:00:00:00:00:00") { $0.mac == nil },
    Odd(key: "mac-address", value: "01:00:5e:00:00:01") { $0.mac == nil },
    Odd(key: "mac-address", value: "02:0b:6d") { $0.mac == nil },
    Odd(key: "mac-address", value: 5) { $0.mac == nil },
    Odd(key: "vlan-id", value: 101) { $0.vlanID == 101 },
    Odd(key: "vlan-id", value: 65535) { $0.vlanID == nil },
    Odd(key: "vlan-id", value: 0) { $0.vlanID == 0 },
    Odd(key: "vlan-id", value: -1) { $0.vlanID == -1 },
    Odd(key: "vlan-id", value: "101") { $0.vlanID == nil },
    Odd(key: "id", value: "00000000-0000-0000-0000-000000000000") { $0.id == .none },
    Odd(key: "id", value: "web-0") { $0.id == .none },
    Odd(key: "plen", value: 33) { $0.ipv4 != nil && $0.ipv4?.prefixLength == nil },
    Odd(key: "plen", value: -1) { $0.ipv4?.prefixLength == nil },
    Odd(key: "plen", value: "12") { $0.ipv4?.prefixLength == nil },
    Odd(key: "plen", value: 32) { $0.ipv4?.prefixLength == 32 },
    Odd(key: "plen", value: 0) { $0.ipv4?.prefixLength == 0 },
    Odd(key: "ip-address", value: "0.0.0.0") { $0.ipv4 == nil },
    Odd(key: "ip-address", value: "fd00::1") { $0.ipv4 == nil },
    Odd(key: "ip-address", value: "10.1.2") { $0.ipv4 == nil },
    Odd(key: "ip-address", value: .null) { $0.ipv4 == nil },
    Odd(key: "gateway", value: "0.0.0.0") { $0.ipv4 != nil && $0.ipv4?.gateway == nil },
    Odd(key: "gateway", value: "") { $0.ipv4 != nil && $0.ipv4?.gateway == nil },
    Odd(key: "dns-server", value: "nope") { $0.ipv4 != nil && $0.ipv4?.nameServer == nil },
    Odd(key: "v6-ip-address", value: "::") { $0.ipv6 == nil && $0.ipv4 != nil },
    Odd(key: "v6-ip-address", value: "10.0.0.1") { $0.ipv6 == nil },
    Odd(key: "annotations", value: "{index:0/1}") { $0.annotations == VRouter.Annotations() },
    Odd(key: "annotations", value: [1, .null, "{index:0/1}", ["x"]]) {
      $0.annotations.index == VRouter.Annotations.Index(number: 0, total: 1)
    },
  ]

  @Test("An odd member spoils no other", arguments: oddMembers)
  func odd(_ odd: Odd) {
    let result = VRouter.Result(Fixture.ready(Fixture.vmi0).setting(odd.key, odd.value))
    #expect(odd.kept(result))
    #expect(result.systemName == "tapeth0-5f0c7a" && result.vmUUID == Fixture.pod)
  }

  @Test("What is no object says nothing", arguments: [JSONValue.null, 5, "x", [], [:]])
  func nothing(_ value: JSONValue) {
    #expect(VRouter.Result(value) == VRouter.Result())
  }

  /// Texts of annotations, and what they come to.
  static let annotationTexts: [([String], String?, String, VRouter.Annotations.Index?)] = [
    (["{network:default}"], "default", "", nil),
    (["network:default"], "default", "", nil),
    (["{flag}", "{url:http://x:80/}", "{q:a\"b}", "{}", "", "{", "}", ":"], "", "", nil),
    (["{network:a:b:c}"], "a:b:c", "", nil),
    (["{network:{x}}"], "{x}", "", nil),
    (["{network:\"x\"}"], "\"x\"", "", nil),
    (["{network:a}", "{network:b}"], "b", "", nil),
    (["{Network:a}", "{ network:a}"], "", "", nil),
    (["{interface:ens3}", "{index:1/2}"], "", "ens3", .init(number: 1, total: 2)),
    (["{index:2}"], "", "", nil),
    (["{index:1/2/3}"], "", "", nil),
    (["{index:-1/2}"], "", "", nil),
    (["{index:0/0}"], "", "", nil),
    (["{index:0/}", "{index:/1}", "{index:a/b}"], "", "", nil),
    (["{index:0/99999999999999999999}"], "", "", nil),
  ]

  @Test(
    "Annotations are split at the first colon inside one pair of braces", arguments: annotationTexts
  )
  func annotations(
    _ texts: [String], _ network: String?, _ interface: String, _ index: VRouter.Annotations.Index?
  ) {
    let annotations = VRouter.Annotations(texts)
    #expect(annotations.network == network ?? "")
    #expect(annotations.interface == interface && annotations.index == index)
  }

  @Test("An identity has the dashed form and comes out in lower case")
  func identity() {
    #expect(VRouterUUID("5F0C7A1E-3B52-4D68-9A41-0C2B7DE91F34") == Fixture.pod)
    #expect(Fixture.pod.description == "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f34")
    #expect(VRouterUUID(VRouterUUID.none.text) == VRouterUUID.none)
    for text in [
      "", "5f0c7a1e3b524d689a410c2b7de91f34", "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f3",
      "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f345", "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f3g",
      "5f0c7a1e-3b52-4d68-9a410-c2b7de91f34", "-5f0c7a1e3b52-4d68-9a41-0c2b7de91f34",
      "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f3é", "5f0c7a1e_3b52_4d68_9a41_0c2b7de91f34",
    ] {
      #expect(VRouterUUID(text) == nil, "\(text)")
    }
  }

  /// What the agent says when it refuses, and what is shown of it.
  static let refusals: [(String, String)] = [
    (#"{"error":"{ Not Found }"}"#, "Not Found"),
    (#"{"error":"{ Invalid Json string ==>  }"}"#, "Invalid Json string ==>"),
    (#"{"error":"{Port Not found 5f0c}"}"#, "Port Not found 5f0c"),
    (#"{"error":"Unknown Request"}"#, "Unknown Request"),
    (#"{"error":"{}"}"#, ""),
    (#"{"error":5}"#, #"{"error":5}"#),
    (#"{"error":"a\n\u0000\tb"}"#, "a b"),
    ("<html>\r\n no\u{7}\u{1B}[31m </html>", "<html> no [31m </html>"),
    ("", ""),
    ("{", "{"),
  ]

  @Test("A refusal is shown in the agent's words, on one line", arguments: refusals)
  func refusal(_ body: String, _ text: String) {
    #expect(AgentText.reason(Array(body.utf8)) == text)
  }

  @Test("A long refusal is cut")
  func longRefusal() {
    let text = AgentText.reason([UInt8](repeating: 0xFF, count: 1 << 20))
    #expect(text.unicodeScalars.count == 301 && text.hasSuffix("…"))
  }
}
