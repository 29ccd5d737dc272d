import Linux

/// A real OVN of a test's own: both databases, `ovn-northd`, and the `ovn-controller` of one node.
///
/// The node is an `OpenVSwitch`; `ovn-controller` makes its bridge `br-int`.
public final class OVN: Sendable {
  /// The node's switch.
  public let node: OpenVSwitch
  private let directory: TemporaryDirectory
  private let northbound: OVSDBServer
  private let southbound: OVSDBServer
  private let northd: OVSDaemon
  private let controller: OVSDaemon

  /// Starts everything and waits until the node's `br-int` is there.
  ///
  /// - Parameters:
  ///   - node: the node's switch.
  ///   - directory: where files and sockets are put; for one OVN only, and not the switch's.
  /// - Throws: when it does not work in time; the logs are in the error.
  public init(on node: OpenVSwitch, directory: TemporaryDirectory) async throws {
    self.node = node
    self.directory = directory
    let network = node.network
    northbound = try await OVSDBServer(
      .ovnNorthbound, in: network, directory: directory, name: "nb")
    southbound = try await OVSDBServer(
      .ovnSouthbound, in: network, directory: directory, name: "sb")
    northd = OVSDaemon(
      "usr/bin/ovn-northd",
      [
        "--ovnnb-db=\(northbound.address)", "--ovnsb-db=\(southbound.address)",
        "--unixctl=\(directory("northd.ctl"))",
      ], name: "northd", directory: directory, in: network)
    controller = OVSDaemon(
      "usr/bin/ovn-controller", [node.address], name: "controller",
      directory: node.files, in: network)
    // Without these a later --wait=hv is sometimes never answered: tried, about one start in five.
    try await nbctl("init")
    try await sbctl("init")
    try await node.vsctl(
      "set", "Open_vSwitch", ".", "external_ids:system-id=node",
      "external_ids:ovn-remote=\(southbound.address)", "external_ids:ovn-encap-type=geneve",
      "external_ids:ovn-encap-ip=127.0.0.1",
      "external_ids:ovn-bridge-datapath-type=\(node.datapath.rawValue)")
    try await northd.start()
    try await startController()
  }

  /// What the daemons have logged, for a failed expectation.
  public var log: String { "ovn-northd:\n\(northd.log)\novn-controller:\n\(controller.log)" }

  /// Starts `ovn-controller` and waits until it has done all that there is to do.
  public func startController() async throws {
    try await controller.start()
    do {
      try await node.vsctl("--", "wait-until", "Bridge", "br-int")
      try await nbctl("--wait=hv", "sync")
    } catch {
      throw TestError("OVN does not work: \(error)\n\(log)")
    }
  }

  /// Kills `ovn-controller`: ports are not bound any more.
  public func killController() async throws { try await controller.end(.kill) }

  /// Lets `ovn-controller` stand still.
  public func pauseController() { controller.pause() }

  /// Lets it go on.
  public func resumeController() { controller.resume() }

  /// Adds a logical switch with logical ports.
  ///
  /// - Parameters:
  ///   - name: the switch's name.
  ///   - ports: by the port's name, which is the `iface-id` of its interface, its MAC address and
  ///     its IP addresses, separated by spaces.
  /// - Throws: what `ovn-nbctl` said if it failed.
  public func addSwitch(_ name: String, ports: [String: String]) async throws {
    var words = ["--wait=hv", "ls-add", name]
    for (port, addresses) in ports.sorted(by: { $0.key < $1.key }) {
      words += ["--", "lsp-add", name, port, "--", "lsp-set-addresses", port, addresses]
    }
    _ = try await tool("ovn-nbctl", northbound, words)
  }

  /// Runs `ovn-nbctl`.
  ///
  /// - Returns: what it printed, without the last newline.
  /// - Throws: what it said if it failed.
  @discardableResult
  public func nbctl(_ words: String...) async throws -> String { try await nbctl(words) }

  /// The same with a list of words.
  @discardableResult
  public func nbctl(_ words: [String]) async throws -> String {
    try await tool("ovn-nbctl", northbound, words)
  }

  /// Runs `ovn-sbctl`.
  ///
  /// - Returns: what it printed, without the last newline.
  /// - Throws: what it said if it failed.
  @discardableResult
  public func sbctl(_ words: String...) async throws -> String {
    try await tool("ovn-sbctl", southbound, words)
  }

  private func tool(
    _ name: String, _ server: OVSDBServer, _ words: [String]
  ) async throws -> String {
    try await OVSTool.run(
      name,
      ["--db=\(server.address)", "--no-leader-only", "--timeout=\(15 * Program.patience)"] + words,
      directory: directory, in: node.network)
  }
}
