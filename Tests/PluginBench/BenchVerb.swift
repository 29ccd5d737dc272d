/// A call during which a plugin is put to the test.
package enum BenchVerb: String, CaseIterable, Sendable {
  case add = "ADD"
  case failingAdd = "failing ADD"
  case delete = "DEL"
  case update = "UPDATE"
  case failingUpdate = "failing UPDATE"
  case collect = "GC"

  /// `CNI_COMMAND`.
  package var command: String { rawValue.split(separator: " ").last.map(String.init) ?? rawValue }

  /// Whether the call ends with an error when nobody dies.
  package var fails: Bool { self == .failingAdd || self == .failingUpdate }

  /// Whether the pod is attached before the call.
  var needsAttachment: Bool { self != .add && self != .failingAdd }
}
