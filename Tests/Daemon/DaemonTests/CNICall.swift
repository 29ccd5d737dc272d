import CNI
import DaemonAPI
import HTTP
import JSON
import TestSupport

/// A CNI call as a client sends it; everything can be changed, left out or made wrong.
struct CNICall: Sendable {
  var path = "/cni"
  /// The variables; nil is one that is absent.
  var env: [String: String?]
  var config: String
  var attributes: JSONValue?
  var headers: [(String, String)] = []

  /// The values of the field's own tests.
  init(
    _ command: String? = "ADD", _ config: String = CNICall.network, to path: String = "/cni",
    container: String? = "some-container-id", ifName: String? = "eth0",
    netns: String? = "/some/netns/path",
    args: String? = "K8S_POD_NAMESPACE=awesome-namespace;K8S_POD_NAME=awesome-name",
    headers: [(String, String)] = [], attributes: JSONValue? = nil
  ) {
    self.path = path
    self.config = config
    self.attributes = attributes
    self.headers = headers
    env = [
      "CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": netns,
      "CNI_IFNAME": ifName, "CNI_ARGS": args, "CNI_PATH": "/some/cni/path",
    ]
  }

  /// A configuration that the recording plugin serves.
  static let network = #"{"cniVersion":"1.1.0","name":"net","type":"recorder"}"#

  /// A stamp of this boot, as a shim writes it.
  static func stamp(_ nanoseconds: UInt64) -> String {
    Stamp(bootID: Stamp.now.bootID, nanoseconds: nanoseconds).description
  }

  /// A GC of the network, with the list of valid attachments under a key.
  static func garbageCollection(
    _ valid: [(String, String)], of network: String = "net",
    key: String = "cni.dev/valid-attachments", isStrict: Bool = false
  ) -> CNICall {
    let list = valid.map { #"{"containerID":"\#($0.0)","ifname":"\#($0.1)"}"# }
    return CNICall(
      "GC",
      #"{"cniVersion":"1.1.0","name":"\#(network)","type":"recorder","gcLiving":\#(isStrict),"\#(key)":[\#(list.joined(separator: ","))]}"#,
      container: nil, ifName: nil, netns: nil, args: nil)
  }

  /// The same call with a header more.
  func with(_ name: String, _ value: String) -> CNICall {
    var call = self
    call.headers.append((name, value))
    return call
  }

  /// The request's body.
  var body: [UInt8] {
    var object: JSONValue = [
      "env": .object(
        JSONObject(
          env.sorted { $0.key < $1.key }.compactMap { name, value in
            value.map { (name, JSONValue.string($0)) }
          })),
      "config": .string(Base64.encode(Array(config.utf8))),
    ]
    object = object.setting("interfaceAttributes", attributes)
    return object.bytes
  }

  /// The request as a server's handler sees it.
  var request: HTTPRequest {
    HTTPRequest(method: "POST", target: path, headers: HTTPHeaders(headers), body: body)
  }

  /// The request's bytes, as Go's client writes them.
  var bytes: [UInt8] {
    let body = body
    var head = "POST \(path) HTTP/1.1\r\nHost: dummy\r\nUser-Agent: Go-http-client/1.1\r\n"
    head += "Content-Length: \(body.count)\r\nContent-Type: application/json\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    return Array((head + "Accept-Encoding: gzip\r\n\r\n").utf8) + body
  }
}
