/// Uuids as the agent reads them.
enum AgentUUID {
  static let none = "00000000-0000-0000-0000-000000000000"

  /// Whether a text is a uuid with dashes; in a URL only lower case counts.
  static func isDashed(_ text: some StringProtocol, lowerCaseOnly: Bool = false) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count == 36 else { return false }
    for (index, byte) in bytes.enumerated() {
      let isDash = [8, 13, 18, 23].contains(index)
      let isDigit =
        (48...57).contains(byte) || (97...102).contains(byte)
        || (!lowerCaseOnly && (65...70).contains(byte))
      if isDash ? byte != 45 : !isDigit { return false }
    }
    return true
  }

  /// A member's value: what is no uuid is the nil one.
  static func read(_ text: String) -> String { isDashed(text) ? text.lowercased() : none }
}
