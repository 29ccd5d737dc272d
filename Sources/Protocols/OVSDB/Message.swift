package import JSON

/// One message of the protocol, RFC 7047 §4: JSON-RPC 1.0.
package enum Message: Equatable, Sendable {
  /// The answer to a request with this number.
  case answer(id: Int, Answer)
  /// The other side asks whether we live.
  case echo(id: JSONValue, JSONValue)
  /// Something that we watch has changed.
  case update(JSONValue, OVSDBUpdateFormat)
  /// The server asks something that we do not know.
  case unknownRequest(id: JSONValue)
  /// The server stops telling us of changes.
  case monitorCancelled
  /// Something that concerns nobody here.
  case other

  /// What came of a request.
  package enum Answer: Equatable, Sendable {
    case result(JSONValue)
    /// The server's word and sentence.
    case error(String, details: String)
  }

  /// How much one message may hold; its length is bounded before.
  private static let limits = JSONLimits(values: 2_000_000)

  package init(_ bytes: [UInt8]) throws(OVSDBWireError) {
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue.parse(bytes, limits: Self.limits)
    } catch {
      throw OVSDBWireError("no JSON: \(error)")
    }
    let id = json["id"] ?? .null
    guard let method = json["method"], !method.isNull else {
      // A number that is not ours is that of nobody.
      self = id.int.map { .answer(id: $0, Answer(json)) } ?? .other
      return
    }
    let parameters = json["params"] ?? []
    switch method.string {
    case "echo"?: self = id.isNull ? .other : .echo(id: id, parameters)
    case "update"?: self = .update(try Self.changes(parameters), .rows)
    case "update2"?: self = .update(try Self.changes(parameters), .differences)
    case "monitor_canceled"?: self = .monitorCancelled
    default: self = id.isNull ? .other : .unknownRequest(id: id)
    }
  }

  private static func changes(_ parameters: JSONValue) throws(OVSDBWireError) -> JSONValue {
    // There is one watch on a connection, so its name says nothing.
    guard let list = parameters.array, list.count >= 2 else {
      throw OVSDBWireError("an update without its changes")
    }
    return list[1]
  }

  /// A request on the wire.
  package static func request(_ method: String, _ parameters: [JSONValue], id: Int) -> [UInt8] {
    let json: JSONValue = [
      "method": .string(method), "params": .array(parameters), "id": .number(JSONNumber(id)),
    ]
    return json.encoded()
  }

  /// The answer to a request of the server's on the wire; `error` null for a good one.
  package static func answer(
    _ result: JSONValue, error: JSONValue = .null, id: JSONValue
  ) -> [UInt8] {
    let json: JSONValue = ["result": result, "error": error, "id": id]
    return json.encoded()
  }
}

extension Message.Answer {
  fileprivate init(_ json: JSONValue) {
    let error = json["error"] ?? .null
    switch error {
    case .null: self = .result(json["result"] ?? .null)
    case .string(let text): self = .error(serverText(text), details: "")
    default:
      self = .error(
        serverText(error["error"]?.string ?? "unknown error"),
        details: serverText(error["details"]?.string ?? ""))
    }
  }
}

/// What a server says, fit for one line of a message or a log: at most 1000 bytes, and every run
/// of control characters is one blank.
package func serverText(_ text: String) -> String {
  let limit = 1000
  var result: [UInt8] = []
  for scalar in text.unicodeScalars {
    let bytes = isControl(scalar) ? [0x20] : Array(String(scalar).utf8)
    if bytes == [0x20], result.last == 0x20, isControl(scalar) { continue }
    guard result.count + bytes.count <= limit else {
      result += "…".utf8
      break
    }
    result += bytes
  }
  return String(decoding: result, as: UTF8.self)
}

/// What ends a line somewhere, steers a terminal or turns the direction of what follows.
private func isControl(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
  default: false
  }
}
