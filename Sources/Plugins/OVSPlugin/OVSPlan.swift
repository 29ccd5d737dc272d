import Addresses
import JSON
import PluginKit

/// The veth pair as it stands in a plan.
struct PlannedPair: Planned {
  static let kind = "link"
  /// The node's end.
  let name: String
  /// Its hardware address, by which it is known before it has its mark.
  let mac: MACAddress
  let podLink: String
  let netns: String

  init(name: String, mac: MACAddress, podLink: String, netns: String) {
    (self.name, self.mac, self.podLink, self.netns) = (name, mac, podLink, netns)
  }

  init?(_ values: JSONObject) {
    guard let name = values["name"]?.string, let podLink = values["podLink"]?.string,
      let netns = values["netns"]?.string,
      let mac = values["mac"]?.string.flatMap({ MACAddress($0) })
    else { return nil }
    self.init(name: name, mac: mac, podLink: podLink, netns: netns)
  }

  var values: [(String, JSONValue)] {
    [
      ("name", .string(name)), ("mac", .string(mac.description)), ("podLink", .string(podLink)),
      ("netns", .string(netns)),
    ]
  }
}

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

/// What the configuration lacked and the file of defaults had, as it stands in a plan.
struct PlannedDefaults: Planned {
  static let kind = "defaults"
  let members: JSONObject

  init(members: JSONObject) { self.members = members }
  init?(_ values: JSONObject) { members = values }

  var values: [(String, JSONValue)] { members.members.map { ($0.key, $0.value) } }
}
