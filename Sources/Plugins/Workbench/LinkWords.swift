package import Addresses
package import CNI
package import JSON
import Linux
import PluginKit

extension MACAddress {
  /// The address of one interface, as a configuration or its arguments ask for it.
  ///
  /// - Parameters:
  ///   - text: the address.
  ///   - key: where it is asked for.
  /// - Throws: code 7 for what is no address, or a multicast one, or zero.
  package init(ofOneInterface text: String, _ key: String) throws(CNIError) {
    func refusal(_ words: String) -> CNIError {
      CNIError(.invalidConfiguration, "\(key) \(goQuoted(text)): \(words)")
    }
    guard let mac = MACAddress(text) else {
      throw refusal("must be six bytes such as 0a:58:0a:58:00:02")
    }
    if mac.isMulticast { throw refusal("a multicast address, which no interface can have") }
    if !mac.bytes.contains(where: { $0 != 0 }) { throw refusal("no interface can have it") }
    self = mac
  }

  /// The address that a request asks for: `runtimeConfig.mac`, else CNI_ARGS' `MAC`, else the
  /// configuration's own; an empty text is none.
  package static func requested(
    _ reader: MemberReader, _ arguments: CNIArguments, else own: String?, _ ownKey: String
  ) throws(CNIError) -> MACAddress? {
    let given = [
      ("runtimeConfig.mac", try reader.reader("runtimeConfig")?.string("mac")),
      ("MAC of CNI_ARGS", arguments["MAC"]), (ownKey, own),
    ]
    guard let (key, text) = given.first(where: { $0.1?.isEmpty == false }), let text else {
      return nil
    }
    return try MACAddress(ofOneInterface: text, key)
  }

  /// A locally administered address, chosen before a link is created so that the plan can name it.
  package static func random() throws(CNIError) -> MACAddress {
    let random = try mapped { () throws(SystemError) in try Random.bytes(6) }
    guard let mac = MACAddress.locallyAdministered(random: random) else {
      throw CNIError(.internal, "no hardware address could be made")
    }
    return mac
  }
}

extension Member<CNIMembers> {
  /// Whether IPv6 addresses are used without duplicate address detection: `wait` or `skip`.
  ///
  /// - Throws: code 6 for another type, 7 for another word.
  package func skipsDAD() throws(CNIError) -> Bool {
    switch try string() {
    case "", "wait": return false
    case "skip": return true
    case let other:
      throw CNIError(
        .invalidConfiguration, "unknown \(path): \(goQuoted(other)), must be \"wait\" or \"skip\"")
    }
  }
}

extension JSONObject {
  /// The object in a file on the node; nil if there is no such file and none need be.
  ///
  /// - Throws: code 5 if it cannot be read, 6 if it is no JSON object.
  package static func inFile(
    _ path: String, mayBeMissing: Bool = false
  ) throws(CNIError) -> JSONObject? {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.read(path, limit: 1 << 20)
    } catch {
      if mayBeMissing, error.errno == .noEntry || error.errno == .notDirectory { return nil }
      throw CNIError(error, code: .ioFailure, doing: "failed to read \(path): \(error.errno)")
    }
    do throws(JSONError) {
      if let object = try JSONValue.parse(bytes).object { return object }
    } catch {
      throw CNIError(.decodingFailure, "\(path): \(error)")
    }
    throw CNIError(.decodingFailure, "\(path): not a JSON object")
  }
}
