public import JSON

/// An entry of a plan, written and read by one type, so that ADD and DEL cannot disagree
/// about its members.
public protocol Planned: Sendable {
  /// What the plan calls it.
  static var kind: String { get }

  /// Reads what ``values`` wrote; nil for values that no ADD of this plugin has written.
  init?(_ values: JSONObject)

  /// What the undo needs to find it, in the order in which it is written.
  var values: [(String, JSONValue)] { get }
}

extension Planned {
  /// The entry as a record holds it.
  public var planned: PlannedResource { PlannedResource(Self.kind, values) }
}

extension AttachmentRecord {
  /// The entries of the plan of one type, in order.
  public func planned<Entry: Planned>(_ type: Entry.Type) -> [Entry] {
    planned(Entry.kind).compactMap { Entry($0.values) }
  }

  /// The first entry of the plan of one type.
  public func first<Entry: Planned>(_ type: Entry.Type) -> Entry? { planned(type).first }
}
