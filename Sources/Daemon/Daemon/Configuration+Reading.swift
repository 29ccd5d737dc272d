import CNI
import JSON

extension Configuration {
  /// Reads a configuration file's bytes.
  package init(parsing bytes: [UInt8]) throws(ConfigurationError) {
    let read = Self.read(bytes)
    if let first = read.faults.first { throw first }
    self = read.configuration
  }

  /// Reads a configuration file's bytes and goes on after a fault.
  ///
  /// - Returns: what could be read, and everything that is wrong.
  static func read(
    _ bytes: [UInt8]
  ) -> (configuration: Configuration, faults: [ConfigurationError]) {
    var configuration = Configuration()
    var faults: [ConfigurationError] = []
    do throws(ConfigurationError) {
      let reader = try ObjectReader(parsing: bytes, ConfigurationFile())
      var seen: Set<[UInt8]> = []
      for member in reader.object.members {
        do throws(ConfigurationError) {
          guard seen.insert(Array(member.key.utf8)).inserted else {
            throw ConfigurationError(member.key, "is given twice")
          }
          try configuration.take(Setting(member.value, path: member.key, reader.dialect))
        } catch {
          faults.append(error)
        }
      }
    } catch {
      faults.append(error)
    }
    return (configuration, faults)
  }

  private mutating func take(_ setting: Setting) throws(ConfigurationError) {
    guard let key = Key(rawValue: setting.path) else {
      let near = KeyTable(Key.allCases.map(\.rawValue)).nearest(setting.path)
      let question = near.map { " (did you mean \($0)?)" } ?? ""
      throw ConfigurationError(
        setting.path, "unknown key\(question); cnid --help lists the keys")
    }
    try key.description.set(&self, setting)
  }
}

/// How `cnid.json` reports a fault: the key, and what its value must be.
struct ConfigurationFile: MemberDialect {
  func failure(_ fault: MemberFault) -> ConfigurationError {
    switch fault.reason {
    case .syntax: ConfigurationError("", fault.text)
    case .type where fault.path.isEmpty: ConfigurationError("", "must be a JSON object")
    case .type(_, let expected): ConfigurationError(fault.path, "must be \(expected)")
    case .missing, .value, .zeroByte: ConfigurationError(fault.path, fault.text)
    }
  }
}

/// The value of one key of the file.
typealias Setting = Member<ConfigurationFile>

/// What values a key takes, and how one is read.
struct SettingType<Value>: Sendable {
  let read: @Sendable (Setting) throws(ConfigurationError) -> Value

  init(_ read: @escaping @Sendable (Setting) throws(ConfigurationError) -> Value) {
    self.read = read
  }
}

extension SettingType {
  /// Null is as no key where there is no default.
  static func optional<Inner>(_ inner: SettingType<Inner>) -> SettingType
  where Value == Inner?, Inner: Sendable {
    SettingType { setting throws(ConfigurationError) in
      setting.value.isNull ? nil : try inner.read(setting)
    }
  }

  static func array<Inner>(_ what: String, of inner: SettingType<Inner>) -> SettingType
  where Value == [Inner], Inner: Sendable {
    SettingType { setting throws(ConfigurationError) in
      guard setting.value.array != nil else { throw setting.mismatch("an array of \(what)") }
      var values: [Inner] = []
      for element in try setting.elements() { values.append(try inner.read(element)) }
      return values
    }
  }

  /// A text that has another form.
  static func text(
    _ what: String, _ parse: @escaping @Sendable (String) -> Value?
  ) -> SettingType where Value: Sendable {
    SettingType { setting throws(ConfigurationError) in
      guard let text = setting.value.string, !text.isEmpty else {
        throw setting.mismatch("a string that is not empty")
      }
      guard let value = parse(text) else { throw setting.mismatch(what) }
      return value
    }
  }

  /// One of a few words.
  static func word(_ all: [Value], _ name: @escaping @Sendable (Value) -> String) -> SettingType
  where Value: Sendable {
    SettingType { setting throws(ConfigurationError) in
      let text = setting.value.string
      guard let chosen = all.first(where: { name($0) == text }) else {
        let words = "one of \(all.map(name).joined(separator: ", "))"
        throw setting.mismatch(text.map { "\(words), not \(goQuoted($0))" } ?? words)
      }
      return chosen
    }
  }
}

extension SettingType<String> {
  static var text: SettingType { .text("a string that is not empty") { $0 } }

  static var path: SettingType {
    .text("an absolute path") { $0.utf8.first == 0x2F && !$0.utf8.contains(0) ? $0 : nil }
  }
}

extension SettingType<Int> {
  static func integer(_ range: ClosedRange<Int>) -> SettingType {
    SettingType { setting throws(ConfigurationError) in
      guard let number = setting.value.int, range.contains(number) else {
        throw setting.mismatch(
          setting.wholeNumber("a whole number from \(range.lowerBound) to \(range.upperBound)"))
      }
      return number
    }
  }
}

extension SettingType<JSONObject> {
  static var object: SettingType {
    SettingType { setting throws(ConfigurationError) in try setting.object() }
  }
}

extension SettingType<[String: JSONObject]> {
  /// An object of objects; a name twice is refused.
  static var objects: SettingType {
    SettingType { setting throws(ConfigurationError) in
      var objects: [String: JSONObject] = [:]
      for member in try setting.object().members {
        let inner = Setting(
          member.value, path: "\(setting.path).\(member.key)", setting.dialect)
        guard objects[member.key] == nil else { throw inner.invalid("is given twice") }
        objects[member.key] = try inner.object()
      }
      return objects
    }
  }
}
