public import JSON

/// An error as CNI reports it: a code, one line that says what failed on which object, the cause.
///
/// Counterpart of Go's `types.Error`. Neither text ever holds the configuration or a secret: at
/// most the one value that is wrong.
public struct CNIError: Error, Equatable, Sendable {
  /// What kind of failure it is.
  public var code: CNIErrorCode

  /// What failed, in one line; `msg` on the wire.
  public var message: String

  /// The cause; may be empty.
  public var details: String

  /// Creates an error.
  public init(_ code: CNIErrorCode, _ message: String, details: String = "") {
    self.code = code
    self.message = message
    self.details = details
  }

  /// The same error with words before its message, such as `could not extract the CNI args: `.
  public func prefixed(by words: String) -> CNIError {
    CNIError(code, words + message, details: details)
  }
}

extension CNIError: CustomStringConvertible {
  /// `message; details`, or the message alone, as Go prints it.
  public var description: String {
    details.isEmpty ? message : message + "; " + details
  }
}

extension CNIError {
  /// The error object: `cniVersion` when given, `code`, `msg`, and `details` unless empty.
  public func json(cniVersion: String? = nil) -> JSONValue {
    var object = JSONObject()
    if let cniVersion { object["cniVersion"] = .string(cniVersion) }
    object["code"] = .number(JSONNumber(code.rawValue))
    object["msg"] = .string(message)
    if !details.isEmpty { object["details"] = .string(details) }
    return .object(object)
  }

  /// Reads an error object; nil unless it is an object with a non-empty `msg`.
  ///
  /// An absent code, or 0, becomes 999. A code that is no non-negative integer and members of
  /// another type mean that this is no error object.
  public init?(json: JSONValue) {
    guard let object = json.object, let message = object["msg"]?.string, !message.isEmpty else {
      return nil
    }
    let code: Int
    switch object["code"] {
    case nil, .null?: code = 0
    case let value?:
      guard let number = value.int, number >= 0 else { return nil }
      code = number
    }
    let details: String
    switch object["details"] {
    case nil, .null?: details = ""
    case let value?:
      guard let text = value.string else { return nil }
      details = text
    }
    self.init(code == 0 ? .internal : CNIErrorCode(rawValue: code), message, details: details)
  }
}
