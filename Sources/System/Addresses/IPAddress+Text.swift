extension IPAddress {
  /// Reads the text of an address by the rules of Go's `net.ParseIP`.
  ///
  /// IPv4 is four decimal numbers without leading zeros. IPv6 is RFC 4291's text, `::` standing for
  /// at least one group, the last two groups possibly as IPv4. Zones are refused. An IPv4-mapped
  /// address is read as the IPv4 address, whichever way it is written.
  public init?(_ text: String) {
    guard let address = IPAddress(exactly: text.utf8.span) else { return nil }
    self = address.unmapped
  }

  /// Reads the text of an address; an IPv4-mapped address stays IPv6.
  init?(exactly text: Span<UInt8>) {
    for index in text.indices {
      if text[index] == UInt8(ascii: ".") {
        guard let number = readIPv4(text, from: 0) else { return nil }
        self.init(v4: number)
        return
      }
      if text[index] == UInt8(ascii: ":") {
        guard let number = readIPv6(text) else { return nil }
        self.init(v6: number)
        return
      }
    }
    return nil
  }
}

extension IPAddress: CustomStringConvertible {
  /// The canonical text: dotted decimal, or RFC 5952 for IPv6.
  ///
  /// The longest run of at least two zero groups becomes `::`, the first one of equally long runs;
  /// digits are lower-case; an IPv4-mapped address ends in dotted decimal.
  public var description: String {
    var text: [UInt8] = []
    text.reserveCapacity(family == .v4 ? 15 : 39)
    if family == .v4 {
      appendIPv4(to: &text)
    } else if unmapped.family == .v4 {
      text.append(contentsOf: "::ffff:".utf8)
      unmapped.appendIPv4(to: &text)
    } else {
      appendIPv6(to: &text)
    }
    return String(decoding: text, as: UTF8.self)
  }

  private func appendIPv4(to text: inout [UInt8]) {
    for (index, byte) in bytes.enumerated() {
      if index > 0 { text.append(UInt8(ascii: ".")) }
      text.append(contentsOf: String(byte).utf8)
    }
  }

  private func appendIPv6(to text: inout [UInt8]) {
    let groups = stride(from: 112, through: 0, by: -16).map { shift in
      UInt16(truncatingIfNeeded: bits >> UInt128(shift))
    }
    let hidden = longestZeroRun(groups)
    var index = 0
    while index < groups.count {
      if index == hidden.lowerBound, !hidden.isEmpty {
        text.append(contentsOf: "::".utf8)
        index = hidden.upperBound
        continue
      }
      if index > 0, index != hidden.upperBound || hidden.isEmpty { text.append(UInt8(ascii: ":")) }
      text.append(contentsOf: String(groups[index], radix: 16).utf8)
      index += 1
    }
  }
}

/// The first longest run of at least two zero groups, or an empty range.
private func longestZeroRun(_ groups: [UInt16]) -> Range<Int> {
  var longest = 0..<0
  var start = 0
  for index in groups.indices {
    guard groups[index] == 0 else {
      start = index + 1
      continue
    }
    let run = start..<index + 1
    if run.count >= 2, run.count > longest.count { longest = run }
  }
  return longest
}

/// Reads four decimal numbers that reach from `start` to the end of the text.
private func readIPv4(_ text: Span<UInt8>, from start: Int) -> UInt32? {
  var result: UInt32 = 0
  var fields = 0
  var value: UInt32 = 0
  var digits = 0
  for index in start..<text.count {
    let byte = text[index]
    if byte == UInt8(ascii: ".") {
      guard digits > 0, fields < 3 else { return nil }
      result = result << 8 | value
      fields += 1
      value = 0
      digits = 0
      continue
    }
    guard let digit = decimalDigit(byte), digits == 0 || value > 0 else { return nil }
    value = value * 10 + UInt32(digit)
    digits += 1
    guard value <= 255 else { return nil }
  }
  guard digits > 0, fields == 3 else { return nil }
  return result << 8 | value
}

/// Reads the whole text as eight groups, one `::` standing for the missing ones.
private func readIPv6(_ text: Span<UInt8>) -> UInt128? {
  let colon = UInt8(ascii: ":")
  var head: UInt128 = 0  // The groups before `::`, or all.
  var tail: UInt128 = 0  // The groups after it.
  var groups = 0
  var groupsBeforeGap: Int?
  var position = 0

  func add(_ value: UInt128, groups count: Int) {
    let width = UInt128(16 * count)
    if groupsBeforeGap == nil { head = head << width | value } else { tail = tail << width | value }
    groups += count
  }

  if text.count >= 2, text[0] == colon, text[1] == colon {
    groupsBeforeGap = 0
    position = 2
  }
  while position < text.count {
    guard groups < 8 else { return nil }
    let start = position
    var value: UInt128 = 0
    while position < text.count, let digit = hexadecimalDigit(text[position]) {
      guard position - start < 4 else { return nil }
      value = value << 4 | UInt128(digit)
      position += 1
    }
    guard position > start else { return nil }
    if position < text.count, text[position] == UInt8(ascii: ".") {
      // IPv4 takes the place of the last two groups.
      guard groupsBeforeGap == nil ? groups == 6 : groups <= 6 else { return nil }
      guard let number = readIPv4(text, from: start) else { return nil }
      add(UInt128(number), groups: 2)
      break
    }
    add(value, groups: 1)
    guard position < text.count else { break }
    guard text[position] == colon, position + 1 < text.count else { return nil }
    position += 1
    if text[position] == colon {
      guard groupsBeforeGap == nil else { return nil }
      groupsBeforeGap = groups
      position += 1
    }
  }
  guard let groupsBeforeGap else { return groups == 8 ? head : nil }
  guard groups < 8 else { return nil }
  guard groupsBeforeGap > 0 else { return tail }
  return head << UInt128(16 * (8 - groupsBeforeGap)) | tail
}

/// The value of an ASCII decimal digit.
func decimalDigit(_ byte: UInt8) -> UInt8? {
  guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
  return byte - UInt8(ascii: "0")
}

/// The value of an ASCII hexadecimal digit of either case.
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  if let digit = decimalDigit(byte) { return digit }
  let lower = byte | 0x20
  guard lower >= UInt8(ascii: "a"), lower <= UInt8(ascii: "f") else { return nil }
  return lower - UInt8(ascii: "a") + 10
}
