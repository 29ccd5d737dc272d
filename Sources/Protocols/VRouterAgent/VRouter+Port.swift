import HTTP
import JSON
public import Linux

extension VRouter {
  /// A pod's interface as it is announced to the agent and written to its port file.
  public struct Port: Sendable, Equatable {
    /// The sandbox that has the interface.
    public var containerID: String
    /// The pod's name at the agent, `<cluster>__<namespace>__<pod>`.
    public var name: String
    /// The link in the host's namespace that the agent takes.
    public var hostLink: String
    /// The interface's name in the pod.
    public var ifName: String
    /// The path of the pod's network namespace.
    public var netns: String
    /// The pod's identity.
    public var uuid: VRouterUUID
    /// The network's identity.
    public var network: VRouterUUID
    /// The interface's identity.
    public var interface: VRouterUUID

    /// Creates a port from its parts.
    public init(
      containerID: String, name: String, hostLink: String, ifName: String, netns: String,
      uuid: VRouterUUID, network: VRouterUUID, interface: VRouterUUID
    ) {
      self.containerID = containerID
      self.name = name
      self.hostLink = hostLink
      self.ifName = ifName
      self.netns = netns
      self.uuid = uuid
      self.network = network
      self.interface = interface
    }

    /// The nine members in the original's order and layout, as they are sent and as they stand
    /// in the port file.
    var encoded: [UInt8] {
      PortBody(
        containerID: containerID, uuid: uuid.text, name: name, hostLink: hostLink, ifName: ifName,
        netns: netns, network: network.text, interface: interface.text
      ).encoded
    }
  }
}

/// The object of `POST /vm`, of `DELETE /vm` and of a port file.
struct PortBody {
  var containerID: String
  var uuid: String
  var name = ""
  var hostLink = ""
  var ifName = ""
  var netns = ""
  var network = ""
  var interface = ""

  /// One member a line behind a tab, no line end at the end.
  var encoded: [UInt8] {
    let members = [
      ("time", Timestamp(nanoseconds: KernelClock.real).description), ("vm-id", containerID),
      ("vm-uuid", uuid), ("vm-name", name), ("host-ifname", hostLink), ("vm-ifname", ifName),
      ("vm-namespace", netns), ("vn-uuid", network), ("vmi-uuid", interface),
    ]
    var bytes = Array("{".utf8)
    for (index, member) in members.enumerated() {
      bytes += Array((index == 0 ? "\n\t\"" : ",\n\t\"").utf8)
      bytes += Array("\(member.0)\": ".utf8)
      bytes += JSONValue.string(member.1).encoded()
    }
    return bytes + Array("\n}".utf8)
  }
}

extension VRouter {
  /// Tells the agent of a port, `POST /vm`.
  ///
  /// A good answer only means that the agent has taken it: ``pollVM(_:interfaces:deadline:)`` waits
  /// for the rest. An exchange that failed is repeated after the pause, so often as an answer is
  /// asked for, because telling twice does no harm.
  ///
  /// - Throws: `refused` with the agent's text; `notReady` when no exchange came about.
  public func announce(
    _ port: Port, _ permit: borrowing Permit, deadline: Deadline
  ) throws(VRouterError) {
    try announce(body: port.encoded, deadline)
  }

  /// Writes a port's file, then tells the agent of it unless told otherwise.
  ///
  /// Counterpart of `Add` of the original's `VRouter`. The file comes first: an agent that starts
  /// in between reads it.
  public func add(
    _ port: Port, updateAgent: Bool = true, _ permit: borrowing Permit, deadline: Deadline
  ) throws(VRouterError) {
    let body = port.encoded
    try files.write(port, body)
    if updateAgent { try announce(body: body, deadline) }
  }

  private func announce(body: [UInt8], _ deadline: Deadline) throws(VRouterError) {
    try poll("POST /vm", deadline) { () throws(VRouterError) -> PollOutcome<Void> in
      let response = try exchange("POST", "/vm", body: body, deadline)
      guard response.status == 200 || response.status == 201 else {
        throw Self.refusal(response, "POST /vm")
      }
      return .done(())
    } isFinal: { error in
      if case .refused = error.reason { true } else { false }
    }
  }

  /// Tells the agent that a pod has no port any more, `DELETE /vm/<uuid>`.
  ///
  /// The agent drops the ports that the control plane links to that pod at that moment. A
  /// failure inside the agent and an answer that was cut are tried twice more at once; an agent
  /// that hangs is not.
  public func withdraw(
    _ uuid: VRouterUUID, containerID: String, _ permit: borrowing Permit, deadline: Deadline
  ) throws(VRouterError) {
    do throws(VRouterError) {
      try withdraw(uuid, containerID, deadline)
    } catch {
      // An agent that is not there has forgotten it all.
      if case .unreachable(_, refused: true) = error.reason { try files.forgetLinks(of: uuid) }
      throw error
    }
    try files.forgetLinks(of: uuid)
  }

  private func withdraw(
    _ uuid: VRouterUUID, _ containerID: String, _ deadline: Deadline
  ) throws(VRouterError) {
    let path = "/vm/\(uuid)"
    let operation = "DELETE \(path)"
    let body = PortBody(containerID: containerID, uuid: uuid.text).encoded
    var triesLeft = 3
    while true {
      triesLeft -= 1
      let failure: VRouterError
      let mayPass: Bool
      do throws(HTTPClientError) {
        let response = try send("DELETE", path, body: body, deadline)
        if response.status == 200 || response.status == 204 { return }
        failure = Self.refusal(response, operation)
        mayPass = response.status >= 500
      } catch {
        failure = VRouterError(error, operation: operation)
        mayPass = error.phase == .noAnswer || error.phase == .cut
      }
      guard mayPass, triesLeft > 0, try pause(milliseconds: 200, deadline, operation) else {
        throw failure
      }
    }
  }

  /// The port files of a pod that are this container's.
  ///
  /// Counterpart of `CanDelete` of the original's `VRouter`, but decided for each file: another
  /// container's file, and one that cannot be read, do not hide those that are ours.
  public func canDelete(name: String, containerID: String) throws(VRouterError) -> [PortFile] {
    try files.list(name: name).filter { $0.isReadable && $0.containerID == containerID }
  }
}
