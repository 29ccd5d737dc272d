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
  /// As with Go's decoder an absent member and `null` are the same, members that are not known are
  /// passed over, and of several equal ones the last counts; unlike there, an exact key counts
  /// before one in another case, and base64 is strict.
  ///
  /// - Parameter body: the bytes.
  /// - Throws: code 6 with the first thing that is wrong; never with any of the body's text.
  package init(parsing body: [UInt8]) throws(CNIError) {
    let dialect = CNIMembers()
    let document: JSONValue
    do throws(JSONError) {
      document = try JSONValue.parse(body)
    } catch {
      throw dialect.failure(MemberFault("", .syntax(error)))
    }
    let member = Member(document, path: "request", dialect)
    try self.init(document.isNull ? JSONObject() : try member.object())
  }

  /// Reads the members of a request's JSON; others are passed over.
  init(_ object: JSONObject) throws(CNIError) {
    let reader = MemberReader(object, CNIMembers())
    self.init(env: try Self.environment(reader), config: [])
    if let config = reader.member("config") {
      let text = try config.string()
      do throws(Base64.DecodingError) {
        self.config = try Base64.decode(text)
      } catch {
        throw config.invalid(error.description)
      }
    }
    interfaceAttributes = try reader.reader("interfaceAttributes").map {
      reader throws(CNIError) in try DelegateInterfaceAttributes(reader)
    }
  }

  private static func environment(_ reader: MemberReader) throws(CNIError) -> [String: String] {
    guard let env = try reader.reader("env") else { return [:] }
    var variables: [String: String] = [:]
    for member in env.object.members {
      // The variable's name is the caller's, so no error repeats it.
      let value = Member(member.value, path: "env: a variable", env.dialect)
      let text = try value.string()
      let name = member.key.utf8
      guard !name.isEmpty, !name.contains(UInt8(ascii: "=")), !name.contains(0),
        !text.utf8.contains(0)
      else { throw value.invalid("cannot be in an environment") }
      variables[member.key] = text
    }
    return variables
  }
}

extension DelegateInterfaceAttributes {
  package var json: JSONValue {
    var object = JSONObject()
    if !ips.isEmpty { object["ips"] = .array(ips.map { .string($0) }) }
    if !mac.utf8.isEmpty { object["mac"] = .string(mac) }
    object["cni-args"] = cniArgs.map { .object($0) } ?? .null
    return .object(object)
  }

  /// Reads attributes; an absent member and `null` are the same.
  ///
  /// - Throws: code 6 naming the member that has a wrong type.
  init(_ reader: MemberReader) throws(CNIError) {
    self.init(
      ips: try reader.strings("ips"), mac: try reader.string("mac") ?? "",
      cniArgs: try reader.object("cni-args"))
  }
}
