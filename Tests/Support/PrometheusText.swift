import Linux

/// Prometheus' text format 0.0.4, read strictly: what a lenient scraper would let pass
/// is an error here.
public struct PrometheusText: Sendable {
  /// One line with a number.
  public struct Sample: Sendable, Equatable {
    /// The name, in histograms with its suffix.
    public let name: String
    /// The labels by name.
    public let labels: [String: String]
    /// The number.
    public let value: Double
  }

  /// The types of the families by name.
  public private(set) var types: [String: String] = [:]
  /// The samples in their order.
  public private(set) var samples: [Sample] = []

  /// Reads a page.
  ///
  /// - Throws: when a line breaks the format, a family has no help or type, comes twice or apart, a
  ///   sample comes twice, or a histogram does not add up.
  public init(_ bytes: [UInt8]) throws {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw TestError("not UTF-8") }
    guard text.isEmpty || text.hasSuffix("\n") else { throw TestError("the last line is cut") }
    var family = ""
    var helped: String?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      if line.hasPrefix("# HELP ") {
        let words = line.split(separator: " ", maxSplits: 3)
        guard words.count == 4, types[String(words[2])] == nil else { throw TestError("\(line)") }
        helped = String(words[2])
      } else if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4, String(words[2]) == helped,
          ["counter", "gauge", "histogram"].contains(words[3])
        else { throw TestError("\(line)") }
        family = String(words[2])
        types[family] = String(words[3])
        helped = nil
      } else {
        let sample = try Self.sample(String(line))
        guard helped == nil, Self.belongs(sample.name, family, types[family]) else {
          throw TestError("outside of its family: \(line)")
        }
        samples.append(sample)
      }
    }
    var seen: Set<String> = []
    for sample in samples {
      let labels = sample.labels.sorted { $0.key < $1.key }
      guard seen.insert("\(sample.name) \(labels)").inserted else {
        throw TestError("twice: \(sample)")
      }
    }
    for (name, type) in types where type == "histogram" { try checkHistogram(name) }
  }

  /// The number of a sample, nil if there is none with these labels.
  public func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    samples.first { $0.name == name && $0.labels == labels }?.value
  }

  /// The samples with a name.
  public func samples(_ name: String) -> [Sample] { samples.filter { $0.name == name } }

  private static func belongs(_ name: String, _ family: String, _ type: String?) -> Bool {
    type == "histogram"
      ? ["_bucket", "_sum", "_count"].contains { name == family + $0 } : name == family
  }

  private static func sample(_ line: String) throws -> Sample {
    let wrong = TestError("not a sample: \(line)")
    var rest = Array(line.unicodeScalars)[...]
    func word() -> String {
      var word = ""
      while let next = rest.first, isLetter(next) || (!word.isEmpty && isDigit(next)) {
        word.unicodeScalars.append(next)
        rest.removeFirst()
      }
      return word
    }
    let name = word()
    var labels: [String: String] = [:]
    if rest.first == "{" {
      repeat {
        rest.removeFirst()
        let label = word()
        guard !label.isEmpty, labels[label] == nil, rest.popFirst() == "=",
          rest.popFirst() == "\""
        else { throw wrong }
        var value = ""
        while let next = rest.popFirst(), next != "\"" {
          guard next == "\\" else {
            value.unicodeScalars.append(next)
            continue
          }
          switch rest.popFirst() {
          case "n": value += "\n"
          case "\\": value += "\\"
          case "\"": value += "\""
          default: throw wrong
          }
        }
        labels[label] = value
      } while rest.first == ","
      guard rest.popFirst() == "}" else { throw wrong }
    }
    guard !name.isEmpty, rest.popFirst() == " " else { throw wrong }
    var number = ""
    number.unicodeScalars.append(contentsOf: rest)
    guard let value = Double(number), value.isFinite, value >= 0 else { throw wrong }
    return Sample(name: name, labels: labels, value: value)
  }

  private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
  }

  private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

  /// Ranges rise, the last one is everything and equals the number of durations.
  private func checkHistogram(_ name: String) throws {
    var groups: [[String: String]: [(bound: Double, count: Double)]] = [:]
    for sample in samples(name + "_bucket") {
      var labels = sample.labels
      let bound = labels.removeValue(forKey: "le") ?? ""
      groups[labels, default: []].append(
        (bound == "+Inf" ? .infinity : Double(bound) ?? .nan, sample.value))
    }
    guard groups.count == samples(name + "_count").count,
      groups.count == samples(name + "_sum").count
    else { throw TestError("\(name): number of series") }
    for (labels, ranges) in groups {
      let rises = zip(ranges, ranges.dropFirst()).allSatisfy {
        $0.bound < $1.bound && $0.count <= $1.count
      }
      guard rises, let last = ranges.last, last.bound == .infinity,
        value(name + "_count", labels) == last.count, value(name + "_sum", labels) != nil
      else { throw TestError("\(name)\(labels): \(ranges)") }
    }
  }
}
