package import Addresses
package import JSON
import PluginKit

/// A link as it stands in a plan: the pod's, or its other end on the node.
package struct PlannedLink: Planned {
  package static let kind = "link"
  private let name: String
  /// Chosen before the link is created, so that it is known before it has its mark.
  package let mac: MACAddress

  package init(_ name: String, _ mac: MACAddress) { (self.name, self.mac) = (name, mac) }

  package init?(_ values: JSONObject) {
    guard let mac = values["mac"]?.string.flatMap({ MACAddress($0) }) else { return nil }
    self.mac = mac
    name = values["name"]?.string ?? ""
  }

  package var values: [(String, JSONValue)] {
    [("name", .string(name)), ("mac", .string(mac.description))]
  }
}
