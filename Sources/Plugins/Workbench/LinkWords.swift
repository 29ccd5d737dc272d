package import Addresses
package import CNI
import Linux
import JSON
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

  /// A locally administered address, chosen before a link is created so that the plan can name it.
  package static func random() throws(CNIError) -> MACAddress {
    let random = try mapped { () throws(SystemError) in try Random.bytes(6) }
    guard let mac = MACAddress.locallyAdministered(random: random) else {
      throw CNIError(.internal, "no hardware address could be made")
    }
    return mac
  }
}

extension MemberReader {
  /// Whether IPv6 addresses are used without duplicate address detection: the key `dad`,
  /// `wait` or `skip`.
  ///
  /// - Throws: code 6 for another type, 7 for another word.
  package func skipsDAD() throws(CNIError) -> Bool {
    switch try string("dad") ?? "" {
    case "", "wait": return false
    case "skip": return true
    case let other:
      throw CNIError(
        .invalidConfiguration, "unknown dad: \(goQuoted(other)), must be \"wait\" or \"skip\"")
    }
  }
}
