package import JSON

/// Something that is still to be done for an attachment.
package struct Duty: Equatable, Sendable {
  /// What it is, in the plugin's words.
  package let kind: String
  /// When, CLOCK_BOOTTIME in nanoseconds; 0 is at once.
  package var due: UInt64
  /// What the doing needs to know.
  package var values: JSONObject

  package init(kind: String, due: UInt64, values: JSONObject = JSONObject()) {
    self.kind = kind
    self.due = due
    self.values = values
  }
}

extension Duty {
  init?(_ json: JSONValue) {
    guard let kind = json["kind"]?.string, let due = json["due"]?.uint64,
      let values = json["values"]?.object
    else { return nil }
    self.init(kind: kind, due: due, values: values)
  }

  var json: JSONValue {
    ["kind": .string(kind), "due": .number(JSONNumber(due)), "values": .object(values)]
  }
}
