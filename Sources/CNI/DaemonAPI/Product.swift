/// What the programs say of themselves.
package enum Product {
  /// The version of all programs of this package.
  package static let version = "0.1.0"
}
