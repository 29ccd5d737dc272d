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
  private static let limits = JSONLimits(values: 8_000_000)

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
    case .string(let text): self = .error(text, details: "")
    default:
      self = .error(
        error["error"]?.string ?? "unknown error", details: error["details"]?.string ?? "")
    }
  }
}
