extension CNIError {
  /// Several failures as one, with the code of the first; nil of none.
  package init?(joining failures: [CNIError]) {
    guard let first = failures.first else { return nil }
    self.init(
      first.code, failures.map { $0.message }.joined(separator: "; "),
      details: failures.map { $0.details }.filter { !$0.isEmpty }.joined(separator: "; "))
  }
}
