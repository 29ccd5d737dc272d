package import CNI
package import JSON

extension Request {
  /// The request's JSON; the variables are sorted, as Go prints a map.
  package func encoded() -> [UInt8] { JSONValue.object(json).encoded() }

  /// The members of the JSON.
  var json: JSONObject {
    var object = JSONObject()
    if !env.isEmpty {
      let sorted = env.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      object["env"] = .object(JSONObject(sorted.map { ($0.key, .string($0.value)) }))
    }
    if !config.isEmpty { object["config"] = .string(Base64.encode(config)) }
    if let interfaceAttributes { object["interfaceAttributes"] = interfaceAttributes.json }
    return object
  }

  /// Reads a request's body.
  ///
  /// As with Go's decoder an absent member and `null` are the same, members that are not known are passed over,
  /// and of several equal ones the last counts; unlike there, keys are compared exactly and base64 is strict.
  ///
  /// - Parameter body: the bytes.
  /// - Throws: code 6 with the first thing that is wrong; never with any of the body's text.
  package init(parsing body: [UInt8]) throws(CNIError) {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(body)
    } catch {
      throw CNIError(.decodingFailure, error.description)
    }
    try self.init(try objectOrNull(value, "request") ?? JSONObject())
  }

  /// Reads the members of a request's JSON; others are passed over.
  init(_ object: JSONObject) throws(CNIError) {
    self.init(env: [:], config: [])
    if let value = object["env"] { env = try Self.environment(value) }
    if let text = try string(object["config"], "config") {
      do throws(Base64.DecodingError) {
        config = try Base64.decode(text)
      } catch {
        throw CNIError(.decodingFailure, "config: \(error)")
      }
    }
    if let value = object["interfaceAttributes"], !value.isNull {
      interfaceAttributes = try DelegateInterfaceAttributes(json: value)
    }
  }

  private static func environment(_ value: JSONValue) throws(CNIError) -> [String: String] {
    var variables: [String: String] = [:]
    for member in try objectOrNull(value, "env")?.members ?? [] {
      guard let text = member.value.string else {
        throw mismatch("env: a variable", "string", member.value)
      }
      let name = member.key.utf8
      guard !name.isEmpty, !name.contains(UInt8(ascii: "=")), !name.contains(0),
        !text.utf8.contains(0)
      else {
        throw CNIError(.decodingFailure, "env: a variable cannot be in an environment")
      }
      variables[member.key] = text
    }
    return variables
  }
}

extension DelegateInterfaceAttributes {
  /// The attributes' JSON.
  package var json: JSONValue {
    var object = JSONObject()
    if !ips.isEmpty { object["ips"] = .array(ips.map { .string($0) }) }
    if !mac.utf8.isEmpty { object["mac"] = .string(mac) }
    object["cni-args"] = cniArgs.map { .object($0) } ?? .null
    return .object(object)
  }

  /// Reads attributes.
  ///
  /// - Parameter json: an object; an absent member and `null` are the same.
  /// - Throws: code 6 naming the member that has a wrong type.
  package init(json: JSONValue) throws(CNIError) {
    self.init()
    guard let object = json.object else { throw mismatch("interfaceAttributes", "object", json) }
    if let value = object["ips"], !value.isNull {
      guard let elements = value.array else {
        throw mismatch("interfaceAttributes.ips", "array", value)
      }
      for element in elements {
        guard let text = element.string else {
          throw mismatch("interfaceAttributes.ips: an element", "string", element)
        }
        ips.append(text)
      }
    }
    mac = try string(object["mac"], "interfaceAttributes.mac") ?? ""
    if let value = object["cni-args"] {
      cniArgs = try objectOrNull(value, "interfaceAttributes.cni-args")
    }
  }
}

private func objectOrNull(_ value: JSONValue, _ name: String) throws(CNIError) -> JSONObject? {
  if value.isNull { return nil }
  guard let object = value.object else { throw mismatch(name, "object", value) }
  return object
}

private func string(_ value: JSONValue?, _ name: String) throws(CNIError) -> String? {
  guard let value, !value.isNull else { return nil }
  guard let text = value.string else { throw mismatch(name, "string", value) }
  return text
}

private func mismatch(_ name: String, _ expected: String, _ value: JSONValue) -> CNIError {
  CNIError(.decodingFailure, "\(name): expected \(expected), found \(value.kind)")
}
