/// What the programs say of themselves.
public enum Product {
  /// The version of all programs of this package.
  public static let version = "0.1.0"
}
