package import Addresses
package import CNI
package import JSON
import Linux
import PluginKit

extension MACAddress {
  /// The address of one interface, as a configuration or its arguments ask for it.
  ///
  /// - Throws: code 7 for what is no address, or a multicast one, or zero.
  package init(ofOneInterface text: String) throws(CNIError) {
    guard let mac = MACAddress(text), !mac.isMulticast, mac.bytes.contains(where: { $0 != 0 })
    else {
      throw CNIError(
        .invalidConfiguration, "invalid args \(text) for MAC addr: no address of one interface")
    }
    self = mac
  }

  /// The address that a request asks for: `runtimeConfig.mac`, else CNI_ARGS' `MAC`, else the
  /// configuration's own; an empty text is none.
  package static func requested(
    _ reader: MemberReader, _ arguments: CNIArguments, else own: String?
  ) throws(CNIError) -> MACAddress? {
    let texts = [try reader.reader("runtimeConfig")?.string("mac"), arguments["MAC"], own]
    guard let text = texts.lazy.compactMap({ $0 }).first(where: { !$0.isEmpty }) else { return nil }
    return try MACAddress(ofOneInterface: text)
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
    if let object = (try? JSONValue.parse(bytes))?.object { return object }
    throw CNIError(.decodingFailure, "\(path): not a JSON object")
  }
}
