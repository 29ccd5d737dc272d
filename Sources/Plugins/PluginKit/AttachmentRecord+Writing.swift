import CNI
import JSON

extension AttachmentRecord {
  /// The record as the JSON text of its file.
  public func encoded() -> [UInt8] {
    var members: [(String, JSONValue)] = [
      ("version", .number(JSONNumber(version))),
      ("readableFrom", .number(JSONNumber(readableFrom))),
      ("phase", .string(phase.rawValue)),
    ]
    members += key.members
    if let parent { members.append(("parent", .object(JSONObject(parent.members)))) }
    members += [
      ("configuration", .string(Base64.encode(configuration))),
      ("environment", .object(environmentObject)),
      ("origin", .string(origin)),
      ("requestID", .string(requestID)),
      ("stamp", .string(stamp.description)),
    ]
    if let namespace { members.append(("namespace", .object(namespace.json))) }
    members.append(("plan", .array(plan.map(\.json))))
    if let result, let json = try? result.json(as: .newest) { members.append(("result", json)) }
    if !names.isEmpty {
      members.append(("names", .array(names.sorted(by: OutsideName.isBefore).map(\.json))))
    }
    if !duties.isEmpty { members.append(("duties", .array(duties.map(\.json)))) }
    if !notes.isEmpty { members.append(("notes", .object(notes))) }
    var object = JSONObject(members)
    object.members += unknown.members
    return JSONValue.object(object).encoded()
  }

  private var environmentObject: JSONObject {
    JSONObject(environment.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
  }
}

extension PlannedResource {
  fileprivate var json: JSONValue { ["kind": .string(kind), "values": .object(values)] }
}
