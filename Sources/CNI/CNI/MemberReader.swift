package import Addresses
package import JSON

/// How a CNI document reports a fault: code 6, or another for a value that has the right type.
package struct CNIMembers: MemberDialect {
  /// What the error text begins with, such as `error unmarshall network config: `.
  package let failure: String
  /// The code for a value of the right type that cannot be taken.
  package let invalid: CNIErrorCode
  /// The code for a text with a zero byte.
  private let zeroByte: CNIErrorCode

  package init(
    _ failure: String = "", invalid: CNIErrorCode = .decodingFailure,
    zeroByte: CNIErrorCode? = nil
  ) {
    self.failure = failure
    self.invalid = invalid
    self.zeroByte = zeroByte ?? invalid
  }

  /// The dialect of a network configuration.
  package static var configuration: CNIMembers {
    CNIMembers("error unmarshall network config: ", zeroByte: .invalidConfiguration)
  }

  /// As Go's programs read these documents.
  package var ignoresCase: Bool { true }

  package func failure(_ fault: MemberFault) -> CNIError {
    let code: CNIErrorCode =
      switch fault.reason {
      case .value: invalid
      case .zeroByte: zeroByte
      case .syntax, .missing, .type: .decodingFailure
      }
    return CNIError(code, failure + fault.description)
  }
}

/// A reader of a CNI document's members.
package typealias MemberReader = ObjectReader<CNIMembers>

extension MemberReader {
  /// A reader of a network configuration's members: those of `keys`, and those of every plugin.
  package init(_ configuration: NetworkConfiguration, keys: KeyTable) {
    self.init(configuration.object, .configuration, keys: keys.joined(NetworkConfiguration.keys))
  }

  /// An address.
  ///
  /// As in Go, an empty text is no address.
  package func ip(_ key: String) throws(CNIError) -> IPAddress? {
    guard let text = try string(key), !text.isEmpty else { return nil }
    guard let address = IPAddress(text) else {
      throw invalid(key, "invalid IP address: \(text)")
    }
    return address
  }

  /// A network that must be there.
  package func network(_ key: String) throws(CNIError) -> IPNetwork {
    let text = try required(key).string()
    if text.isEmpty { throw dialect.failure(MemberFault(at(key), .missing)) }
    guard let network = IPNetwork(text) else {
      throw invalid(key, "invalid CIDR address: \(text)")
    }
    return network
  }
}
