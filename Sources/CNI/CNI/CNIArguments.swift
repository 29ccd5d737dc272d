public import Addresses

/// The arguments in CNI_ARGS: `KEY=VALUE` pairs with semicolons between them.
///
/// Read once per request; plugins then ask which keys they do not know (``checkKnown(_:)``).
/// Counterpart of Go's `types.LoadArgs` and of the Multus daemon's own reading.
public struct CNIArguments: Equatable, Sendable {
  /// One pair.
  public struct Pair: Equatable, Sendable {
    /// The text before the `=`.
    public let key: String
    /// The text after the `=`.
    public let value: String
    /// The pair as it was given, for error texts.
    public let text: String
  }

  /// The pairs in their order; a key may occur more than once.
  public let pairs: [Pair]

  /// Creates an empty list: CNI_ARGS is absent.
  public init() { pairs = [] }

  /// Reads CNI_ARGS as the Multus daemon does: white space around keys and values is dropped.
  ///
  /// An empty text, or nil, means no arguments.
  ///
  /// - Throws: code 4 `invalid CNI_ARG '<item>'` for an item without exactly one `=`.
  public init(_ text: String?) throws(CNIError) {
    pairs = try Self.read(text ?? "", trimming: true) { item in
      CNIError(.invalidEnvironment, "invalid CNI_ARG '\(item)'")
    }
  }

  /// Reads CNI_ARGS as the reference plugins do: nothing is trimmed.
  ///
  /// - Throws: code 4 `ARGS: invalid pair "<item>"` for an item without exactly one `=`.
  public init(strict text: String?) throws(CNIError) {
    pairs = try Self.read(text ?? "", trimming: false) { item in
      CNIError(.invalidEnvironment, "ARGS: invalid pair \(goQuoted(item))")
    }
  }

  /// Reads what can be read and drops the rest: a malformed CNI_ARGS must not fail a DEL.
  public init(readable text: String?) {
    pairs = split(text ?? "", at: UInt8(ascii: ";")).compactMap { Self.pair($0, trimming: true) }
  }

  /// The value of a key; of several the last.
  public subscript(key: String) -> String? { pair(for: key)?.value }

  /// The value of an address argument; nil if the key is absent or its value empty.
  ///
  /// - Throws: code 4 `ARGS: error parsing value of pair "<pair>": …`.
  public func ip(for key: String) throws(CNIError) -> IPAddress? {
    guard let pair = pair(for: key), !pair.value.isEmpty else { return nil }
    guard let address = IPAddress(pair.value) else {
      throw Self.valueError(pair, "invalid IP address: \(pair.value)")
    }
    return address
  }

  /// Whether the runtime allows unknown keys: `IgnoreUnknown` is `1` or `true` in any case.
  ///
  /// - Throws: code 4 if the value is neither that nor `0` or `false`.
  public func ignoresUnknown() throws(CNIError) -> Bool {
    guard let pair = pair(for: "IgnoreUnknown") else { return false }
    let value = lowercasedASCII(pair.value)
    if sameBytes(value, "1") || sameBytes(value, "true") { return true }
    if sameBytes(value, "0") || sameBytes(value, "false") { return false }
    throw Self.valueError(pair, "boolean unmarshal error: invalid input \(value)")
  }

  /// Checks that every key is known to the plugin, unless the runtime allows unknown ones.
  ///
  /// `IgnoreUnknown` and every key that begins with `K8S_` are always known.
  ///
  /// - Throws: code 4 `ARGS: unknown args ["K=V" "K2=V2"]`, or what ``ignoresUnknown()`` throws.
  public func checkKnown(_ keys: [String]) throws(CNIError) {
    if try ignoresUnknown() { return }
    let unknown = pairs.filter { pair in
      !pair.key.utf8.starts(with: "K8S_".utf8) && !sameBytes(pair.key, "IgnoreUnknown")
        && !keys.contains { sameBytes($0, pair.key) }
    }
    guard unknown.isEmpty else {
      throw CNIError(
        .invalidEnvironment, "ARGS: unknown args \(goQuoted(unknown.map { $0.text }))")
    }
  }

  private func pair(for key: String) -> Pair? {
    pairs.last { sameBytes($0.key, key) }
  }

  private static func valueError(_ pair: Pair, _ reason: String) -> CNIError {
    CNIError(
      .invalidEnvironment, "ARGS: error parsing value of pair \(goQuoted(pair.text)): \(reason)")
  }

  private static func read(
    _ text: String, trimming: Bool, failure: (String) -> CNIError
  ) throws(CNIError) -> [Pair] {
    guard !text.isEmpty else { return [] }
    var pairs: [Pair] = []
    for item in split(text, at: UInt8(ascii: ";")) {
      guard let pair = pair(item, trimming: trimming) else { throw failure(item) }
      pairs.append(pair)
    }
    return pairs
  }

  private static func pair(_ item: String, trimming: Bool) -> Pair? {
    let parts = split(item, at: UInt8(ascii: "="))
    guard parts.count == 2, let key = parts.first, let value = parts.last else { return nil }
    return trimming
      ? Pair(key: trimmed(key), value: trimmed(value), text: item)
      : Pair(key: key, value: value, text: item)
  }
}
