public import JSON

/// A version of the CNI specification; these seven are supported, and no other.
public enum CNIVersion: Hashable, Comparable, CaseIterable, Sendable {
  /// 0.1.0, also what a configuration without a version means.
  case v010
  /// 0.2.0.
  case v020
  /// 0.3.0, the first with interfaces and any number of addresses.
  case v030
  /// 0.3.1.
  case v031
  /// 0.4.0, the first with CHECK.
  case v040
  /// 1.0.0.
  case v100
  /// 1.1.0, the first with GC and STATUS.
  case v110

  /// The newest version.
  public static let newest = CNIVersion.v110

  /// The version with exactly this text, such as `0.3.1`; nil for every other text.
  public init?(_ text: String) {
    guard let version = CNIVersion.allCases.first(where: { sameBytes($0.description, text) }) else {
      return nil
    }
    self = version
  }
}

extension CNIVersion: CustomStringConvertible {
  /// The version's text, such as `0.3.1`.
  public var description: String {
    switch self {
    case .v010: "0.1.0"
    case .v020: "0.2.0"
    case .v030: "0.3.0"
    case .v031: "0.3.1"
    case .v040: "0.4.0"
    case .v100: "1.0.0"
    case .v110: "1.1.0"
    }
  }
}

extension CNIVersion {
  /// The answer to VERSION: the newest version as `cniVersion`, and all as `supportedVersions`.
  ///
  /// Printed on one line, it is what the Go library prints.
  public static var report: JSONValue {
    [
      "cniVersion": .string(newest.description),
      "supportedVersions": .array(allCases.map { .string($0.description) }),
    ]
  }

  /// Whether a configuration of the given version may be used for a verb, by the skeleton's rules.
  ///
  /// CHECK needs 0.4.0, GC and STATUS need 1.1.0; then the version must be exactly one of the
  /// supported ones. VERSION asks for nothing. The shim and the daemon both ask here.
  ///
  /// - Parameters:
  ///   - text: the configuration's `cniVersion`; empty means 0.1.0.
  ///   - command: the verb.
  /// - Returns: the version; for VERSION the newest if `text` is not supported.
  /// - Throws: code 6 if CHECK, GC or STATUS come with a text that is no version, else code 1.
  @discardableResult
  public static func check(
    _ text: String, for command: CNICommand
  ) throws(CNIError) -> CNIVersion {
    let text = text.isEmpty ? CNIVersion.v010.description : text
    if command == .version { return CNIVersion(text) ?? .newest }
    if let minimum = command.minimumVersion {
      let given = try VersionNumbers(text)
      guard given >= (try VersionNumbers(minimum.description)) else {
        throw CNIError(
          .incompatibleVersion,
          "\(command.rawValue) needs cniVersion \(minimum), the network says \(text)")
      }
      guard given <= (try VersionNumbers(newest.description)) else {
        throw CNIError(
          .incompatibleVersion,
          "cniVersion \(text) is not known, the newest is \(newest): no \(command.rawValue)")
      }
    }
    guard let version = CNIVersion(text) else {
      let supported = goQuoted(CNIVersion.allCases.map { $0.description })
      throw CNIError(
        .incompatibleVersion, "incompatible CNI versions",
        details: "config is \(goQuoted(text)), plugin supports \(supported)")
    }
    return version
  }
}

extension CNIVersion {
  /// Whether a version, supported or not, is at least another one; a text that is none is not.
  package static func isVersion(_ text: String, atLeast minimum: CNIVersion) -> Bool {
    guard let given = try? VersionNumbers(text),
      let least = try? VersionNumbers(minimum.description)
    else { return false }
    return given >= least
  }

  /// The newest of some versions that is supported; nil if none is.
  ///
  /// - Throws: code 6 for a text that is no version.
  package static func newestSupported(_ texts: [String]) throws(CNIError) -> CNIVersion? {
    var newest: CNIVersion?
    for text in texts {
      _ = try VersionNumbers(text)
      guard let version = CNIVersion(text) else { continue }
      newest = max(newest ?? version, version)
    }
    return newest
  }
}

/// Any version as up to three numbers, read as the Go library reads it.
private struct VersionNumbers: Comparable {
  private var numbers = [0, 0, 0]

  init(_ text: String) throws(CNIError) {
    let parts = split(text, at: UInt8(ascii: "."))
    guard parts.count <= 3 else {
      throw CNIError(.decodingFailure, "invalid version \(goQuoted(text)): too many parts")
    }
    let names = ["major", "minor", "micro"]
    for (index, part) in parts.enumerated() {
      guard isDecimal(part) else { throw Self.failure(names[index], part, "invalid syntax") }
      guard let number = Int(part) else {
        throw Self.failure(names[index], part, "value out of range")
      }
      numbers[index] = number
    }
  }

  private static func failure(_ name: String, _ part: String, _ reason: String) -> CNIError {
    let quoted = goQuoted(part)
    return CNIError(
      .decodingFailure,
      "failed to convert \(name) version part \(quoted): strconv.Atoi: parsing \(quoted): \(reason)"
    )
  }

  static func < (left: VersionNumbers, right: VersionNumbers) -> Bool {
    left.numbers.lexicographicallyPrecedes(right.numbers)
  }
}

/// Whether the text is a decimal number with an optional sign.
private func isDecimal(_ text: String) -> Bool {
  var digits = text.utf8[...]
  if let first = digits.first, first == UInt8(ascii: "+") || first == UInt8(ascii: "-") {
    digits = digits.dropFirst()
  }
  return !digits.isEmpty
    && digits.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
}
