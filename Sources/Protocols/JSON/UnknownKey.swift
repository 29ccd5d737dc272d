/// A key of a document that nothing reads.
public struct UnknownKey: Equatable, Sendable {
  /// Its place, such as `ipam.rangestrat`.
  public let path: String
  /// The key that was meant, if one is near.
  public let suggestion: String?

  /// `unknown key "vlann" (did you mean "vlan"?)`.
  public var description: String {
    let question = suggestion.map { " (did you mean \"" + $0 + "\"?)" } ?? ""
    return "unknown key \"" + shown + "\"" + question
  }

  /// What is shown of a place: an author decides how long it is.
  private var shown: String {
    let limit = 100
    if path.utf8.count <= limit { return path }
    return String(decoding: path.utf8.prefix(limit), as: UTF8.self) + "…"
  }
}

extension KeyTable {
  /// The keys of an object that the table lacks, at most `limit` of them.
  ///
  /// A key that begins with `_`, and one with a vendor's name (with a `.` or a `/`), is somebody
  /// else's and no fault.
  public func unknownKeys(
    in object: JSONObject, path: String = "", limit: Int = 16
  ) -> [UnknownKey] {
    var found: [UnknownKey] = []
    for member in object.members where found.count < limit {
      let place = path.isEmpty ? member.key : path + "." + member.key
      if has(member.key) {
        guard let inner = inner(member.key) else { continue }
        found += inner.unknownKeys(under: member.value, place, limit: limit - found.count)
      } else if !isOfOthers(member.key) {
        found.append(UnknownKey(path: place, suggestion: nearest(member.key)))
      }
    }
    return found
  }

  /// The same of a value: of an object, or of those in a list, or in a list of lists.
  private func unknownKeys(under value: JSONValue, _ path: String, limit: Int) -> [UnknownKey] {
    if let object = value.object { return unknownKeys(in: object, path: path, limit: limit) }
    var found: [UnknownKey] = []
    for (index, element) in (value.array ?? []).enumerated() where found.count < limit {
      let place = path + "[" + String(index) + "]"
      found += unknownKeys(under: element, place, limit: limit - found.count)
    }
    return found
  }

  private func isOfOthers(_ key: String) -> Bool {
    key.utf8.first == UInt8(ascii: "_")
      || key.utf8.contains { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") }
  }

  /// The key that a key was meant to be: at most two slips away, and fewer than half of it.
  public func nearest(_ key: String) -> String? {
    var best: (name: String, slips: Int)?
    for name in names {
      let slips = slips(key, name)
      guard slips <= 2, slips * 2 <= name.utf8.count else { continue }
      if best.map({ slips < $0.slips }) ?? true { best = (name, slips) }
    }
    return best?.name
  }
}

/// How many letters are wrong, missing, too many or exchanged with their neighbour, in any case;
/// 3 for more than two.
private func slips(_ a: String, _ b: String) -> Int {
  let (a, b) = (a.utf8.map { lowered($0) }, b.utf8.map { lowered($0) })
  guard abs(a.count - b.count) <= 2, a.count <= 64 else { return 3 }
  // Rows of the table of distances between the beginnings of both; the last two are kept.
  var older: [Int] = []
  var last = Array(0...b.count)
  for (i, left) in a.enumerated() {
    var row = [i + 1]
    for (j, right) in b.enumerated() {
      var least = min(last[j] + (left == right ? 0 : 1), last[j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, left == b[j - 1], a[i - 1] == right { least = min(least, older[j - 1] + 1) }
      row.append(least)
    }
    (older, last) = (last, row)
  }
  return min(last.last ?? 3, 3)
}
