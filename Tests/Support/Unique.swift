import Linux

/// Words that no other test of any run uses.
public enum Unique {
  /// Eight hexadecimal digits.
  public static func word() throws -> String {
    try Random.bytes(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
