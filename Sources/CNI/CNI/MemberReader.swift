package import Addresses
package import JSON

/// Reads the members of one object by type; an absent member and `null` are both nil, as in Go.
///
/// Every error has code 6 and names the member and what it is, never its value unless the value is a
/// short text that cannot be read.
package struct MemberReader {
  package let object: JSONObject
  /// What the error text begins with, such as `error unmarshall network config: `.
  package let failure: String
  /// The object's place in the document, such as `ips[0]`; empty for the document itself.
  package let path: String

  package init(_ object: JSONObject, failure: String, path: String = "") {
    self.object = object
    self.failure = failure
    self.path = path
  }

  package func value(_ key: String) -> JSONValue? {
    guard let value = object[key], !value.isNull else { return nil }
    return value
  }

  package func string(_ key: String) throws(CNIError) -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.string else { throw mismatch(key, value, "a string") }
    return text
  }

  package func object(_ key: String) throws(CNIError) -> JSONObject? {
    guard let value = value(key) else { return nil }
    guard let object = value.object else { throw mismatch(key, value, "an object") }
    return object
  }

  package func array(_ key: String) throws(CNIError) -> [JSONValue] {
    guard let value = value(key) else { return [] }
    guard let array = value.array else { throw mismatch(key, value, "an array") }
    return array
  }

  package func strings(_ key: String) throws(CNIError) -> [String] {
    var strings: [String] = []
    for element in try array(key) {
      guard let text = element.string else { throw mismatch(key + "[]", element, "a string") }
      strings.append(text)
    }
    return strings
  }

  /// Readers of an array of objects; a null element is an error.
  package func objects(_ key: String) throws(CNIError) -> [MemberReader] {
    var readers: [MemberReader] = []
    for (index, element) in try array(key).enumerated() {
      let place = key + "[" + String(index) + "]"
      guard let object = element.object else { throw mismatch(place, element, "an object") }
      readers.append(MemberReader(object, failure: failure, path: at(place)))
    }
    return readers
  }

  /// A whole number from 0 to `maximum`.
  package func number(_ key: String, maximum: UInt64) throws(CNIError) -> UInt64? {
    guard let value = value(key) else { return nil }
    guard let number = value.uint64, number <= maximum else {
      throw mismatch(key, value, "a whole number from 0 to " + String(maximum))
    }
    return number
  }

  /// An address; as in Go an empty text is none.
  package func ip(_ key: String) throws(CNIError) -> IPAddress? {
    guard let text = try string(key), !text.isEmpty else { return nil }
    guard let address = IPAddress(text) else {
      throw error(key, "invalid IP address: \(text)")
    }
    return address
  }

  /// A network that must be there.
  package func network(_ key: String) throws(CNIError) -> IPNetwork {
    let text = try string(key) ?? ""
    guard let network = IPNetwork(text) else {
      throw error(key, "invalid CIDR address: \(text)")
    }
    return network
  }

  package func error(_ key: String, _ reason: String) -> CNIError {
    CNIError(.decodingFailure, failure + at(key) + ": " + reason)
  }

  private func mismatch(_ key: String, _ value: JSONValue, _ expected: String) -> CNIError {
    error(key, value.kind + " found where " + expected + " belongs")
  }

  private func at(_ key: String) -> String { path.isEmpty ? key : path + "." + key }
}
