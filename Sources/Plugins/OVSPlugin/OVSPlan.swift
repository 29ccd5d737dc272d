import JSON
import PluginKit

/// The port as it stands in a plan.
struct PlannedPort: Planned {
  static let kind = "port"
  let name: String
  let bridge: String
  let database: String

  init(name: String, bridge: String, database: String) {
    (self.name, self.bridge, self.database) = (name, bridge, database)
  }

  init?(_ values: JSONObject) {
    guard let name = values["name"]?.string, let bridge = values["bridge"]?.string,
      let database = values["database"]?.string
    else { return nil }
    self.init(name: name, bridge: bridge, database: database)
  }

  var values: [(String, JSONValue)] {
    [("name", .string(name)), ("bridge", .string(bridge)), ("database", .string(database))]
  }
}

extension OutsideName {
  /// The name by which OVN knows an interface.
  ///
  /// One database has one name: /run is /var/run on a node.
  static func interfaceID(_ value: String, in database: String) -> OutsideName {
    let isShort = database.hasPrefix("unix:/run/")
    let scope = isShort ? "unix:/var" + database.dropFirst("unix:".count) : database
    return OutsideName(kind: "iface-id", scope: scope, value: value)
  }
}

/// What the configuration lacked and the file of defaults had, as it stands in a plan.
struct PlannedDefaults: Planned {
  static let kind = "defaults"
  let members: JSONObject

  init(members: JSONObject) { self.members = members }
  init?(_ values: JSONObject) { members = values }

  var values: [(String, JSONValue)] { members.members.map { ($0.key, $0.value) } }
}
