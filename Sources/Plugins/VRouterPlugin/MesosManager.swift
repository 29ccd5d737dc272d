import Addresses
import CNI
import HTTP
import JSON
import Linux
import PluginKit

/// The node's Mesos manager, which tells the controller of containers.
struct MesosManager: Sendable {
  private let address: IPAddress
  private let port: UInt16

  /// How long one exchange may take.
  private static let milliseconds = 5000

  /// The configuration's; nil where there is none to tell.
  init?(_ cni: ContrailCni) {
    guard cni.mode == .mesos, let address = cni.mesosIP, let port = cni.mesosPort else {
      return nil
    }
    (self.address, self.port) = (address, port)
  }

  /// Tells it of a container that comes or goes.
  ///
  /// - Throws: code 102 for every answer but 200, 11 if there is none.
  func tell(
    _ command: CNICommand, _ request: PodRequest, _ permit: borrowing Permit
  ) throws(CNIError) {
    let body: JSONValue = [
      "cid": .string(request.sandboxID), "cmd": .string(command.rawValue),
      "args": .string(String(decoding: request.configuration.bytes, as: UTF8.self)),
    ]
    let path = command == .add ? "/add_cni_info" : "/del_cni_info"
    let client = HTTPClient(.tcp(address, port: port), limits: HTTPLimits(body: 1 << 20))
    let message = HTTPRequest(
      method: "POST", target: path, headers: HTTPHeaders([("Content-Type", "application/json")]),
      body: body.encoded())
    let status: Int
    do throws(HTTPClientError) {
      status = try client.send(
        message, deadline: request.deadline.capped(milliseconds: Self.milliseconds)
      ).status
    } catch {
      let code: CNIErrorCode = error.phase == .cancelled ? .deadline : .tryAgainLater
      throw CNIError(
        code, "the Mesos manager does not take container \(request.sandboxID)",
        details: error.description)
    }
    guard status == 200 else {
      throw CNIError(
        .vRouterAgent, "the Mesos manager refuses container \(request.sandboxID)",
        details: "\(path) answered \(status)")
    }
  }
}

extension MesosManager: Planned {
  static let kind = "manager"

  init?(_ values: JSONObject) {
    guard let address = values["address"]?.string.flatMap({ IPAddress($0) }),
      let port = values["port"]?.int.flatMap({ UInt16(exactly: $0) })
    else { return nil }
    (self.address, self.port) = (address, port)
  }

  var values: [(String, JSONValue)] {
    [("address", .string(address.description)), ("port", .number(JSONNumber(Int(port))))]
  }
}
