public import JSON

extension NetworkConfiguration {
  /// The configuration with some members set or, for nil, removed.
  ///
  /// A member is the same in any case of its letters, since the plugins read it so. The other
  /// members keep their order and the exact bytes of their values; new ones come last.
  /// Without changes the bytes stay as they are.
  ///
  /// - Throws: as `init(_:)`: the new configuration is checked like any other.
  public func replacing(
    _ changes: [(key: String, value: JSONValue?)]
  ) throws(CNIError) -> NetworkConfiguration {
    guard !changes.isEmpty else { return self }
    var changed = object
    for change in changes { changed.set(inAnyCase: change.key, to: change.value) }

    var rebuilt: [UInt8] = [UInt8(ascii: "{")]
    rebuilt.reserveCapacity(bytes.count)
    for member in changed.members {
      if rebuilt.count > 1 { rebuilt.append(UInt8(ascii: ",")) }
      rebuilt += JSONValue.string(member.key).encoded()
      rebuilt.append(UInt8(ascii: ":"))
      if !member.range.isEmpty, bytes.indices.contains(member.range) {
        rebuilt += bytes[member.range]
      } else {
        rebuilt += member.value.encoded()
      }
    }
    rebuilt.append(UInt8(ascii: "}"))
    return try NetworkConfiguration(rebuilt)
  }

  /// The configuration with the daemon's own members over it, key by key.
  ///
  /// Values are replaced as a whole; `null` drops the key; no overrides leave the bytes unchanged.
  ///
  /// - Throws: as `init(_:)`.
  public func overridden(by overrides: JSONObject) throws(CNIError) -> NetworkConfiguration {
    try replacing(
      overrides.members.map { (key: $0.key, value: $0.value.isNull ? nil : $0.value) })
  }

  /// The configuration with the members of `defaults` that it lacks; a `null` is not lacking.
  ///
  /// - Throws: as `init(_:)`.
  public func completed(with defaults: JSONObject) throws(CNIError) -> NetworkConfiguration {
    try replacing(
      defaults.members.filter { object.value(inAnyCase: $0.key) == nil }
        .map { (key: $0.key, value: $0.value) })
  }
}
