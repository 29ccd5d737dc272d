/// The checks of names that the CNI skeleton makes, with its texts.
///
/// Counterpart of the Go library's `utils` package. Only ASCII letters and digits count as such.
public enum CNIValidation {
  /// Checks a container id: a letter or digit, then letters, digits, `_`, `.` and `-`.
  ///
  /// - Throws: code 4. The Go library gives code 3 to an empty id, which tells the runtime that no
  ///   DEL is needed; cnid never says that.
  public static func containerID(_ id: String) throws(CNIError) {
    guard !id.isEmpty else { throw CNIError(.invalidEnvironment, "missing containerID") }
    guard isName(id) else {
      throw CNIError(.invalidEnvironment, "invalid characters in containerID", details: id)
    }
  }

  /// Checks an interface name by the kernel's rules: at most 15 bytes, no `/`, `:` or white space.
  ///
  /// Nor a `%`: the kernel takes `eth%d` for a wish and gives the link another name. A runtime's
  /// own check lets it pass, so a DEL must too: nothing can be attached there.
  ///
  /// - Throws: code 4.
  public static func interfaceName(
    _ name: String, for command: CNICommand = .add
  ) throws(CNIError) {
    guard !name.isEmpty else { throw CNIError(.invalidEnvironment, "interface name is empty") }
    guard name.utf8.count <= 15 else {
      throw CNIError(
        .invalidEnvironment, "interface name is too long",
        details: "interface name should be less than 16 characters")
    }
    guard !sameBytes(name, "."), !sameBytes(name, "..") else {
      throw CNIError(.invalidEnvironment, "interface name is . or ..")
    }
    // A NUL would end the name on its way to the kernel.
    let isForbidden = { (scalar: Unicode.Scalar) in
      scalar == "/" || scalar == ":" || scalar == "\0" || isWhiteSpace(scalar)
    }
    guard !name.unicodeScalars.contains(where: isForbidden) else {
      throw CNIError(
        .invalidEnvironment, "interface name contains / or : or whitespace characters")
    }
    guard command == .delete || !name.utf8.contains(UInt8(ascii: "%")) else {
      throw CNIError(
        .invalidEnvironment, "interface name contains %",
        details: "the kernel would take \(goQuoted(name)) for a pattern")
    }
  }

  /// Checks a network name: the same characters as a container id.
  ///
  /// - Throws: code 7.
  public static func networkName(_ name: String) throws(CNIError) {
    guard !name.isEmpty else { throw CNIError(.invalidConfiguration, "missing network name") }
    guard isName(name) else {
      throw CNIError(
        .invalidConfiguration, "invalid characters found in network name", details: name)
    }
  }

  /// Checks the name of a plugin, `type` or `ipam.type`, which is looked up as a file name.
  ///
  /// - Throws: code 7 for an empty name, `.`, `..`, and a name with `/` or NUL.
  public static func pluginName(_ name: String) throws(CNIError) {
    guard !name.isEmpty else { throw CNIError(.invalidConfiguration, "no plugin name provided") }
    guard !sameBytes(name, "."), !sameBytes(name, ".."),
      !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
    else {
      throw CNIError(.invalidConfiguration, "invalid plugin name: \(goQuoted(name))")
    }
  }

  private static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, isLetterOrDigit(first) else { return false }
    return text.utf8.allSatisfy { byte in
      isLetterOrDigit(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
        || byte == UInt8(ascii: "-")
    }
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: false
    }
  }
}
