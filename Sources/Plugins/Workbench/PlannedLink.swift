package import Addresses
package import JSON
package import PluginKit

/// A link of the pod as it stands in a plan.
package struct PlannedLink: Planned {
  package static let kind = "link"
  private let name: String
  private let netns: String
  /// Chosen before the link is created, so that it is known before it has its mark.
  package let mac: MACAddress

  /// The link of a request's interface.
  package init(_ request: PodRequest, _ mac: MACAddress) {
    (name, netns, self.mac) = (request.ifName, request.netns, mac)
  }

  package init?(_ values: JSONObject) {
    guard let mac = values["mac"]?.string.flatMap({ MACAddress($0) }) else { return nil }
    self.mac = mac
    name = values["name"]?.string ?? ""
    netns = values["netns"]?.string ?? ""
  }

  package var values: [(String, JSONValue)] {
    [("name", .string(name)), ("netns", .string(netns)), ("mac", .string(mac.description))]
  }
}
