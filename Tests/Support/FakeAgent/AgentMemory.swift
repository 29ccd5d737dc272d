import JSON
import Linux

/// What the agent knows: configuration from the control plane, and ports from `POST /vm`.
public struct AgentMemory: Sendable {
  /// What a `POST /vm` has left.
  public struct Subscription: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The virtual machine, its network and its interface.
    public let vm, network, interface: String
    /// `VM/INTERFACE`.
    public var description: String { "\(vm)/\(interface)" }
    /// By their texts.
    public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
  }

  /// Which virtual machine a name leads to.
  public var names: [String: String] = [:]
  /// Which interfaces a virtual machine has.
  public var machines: [String: Set<String>] = [:]
  /// The interfaces.
  public var interfaces: [String: AgentInterface] = [:]
  /// Whether pods are attached by VLANs; then nobody posts ports.
  public var isNested = false
  /// How long after its POST a port is not seen by `GET /vm`, in milliseconds.
  public var visibleDelay = 0
  /// Whether the removal of a virtual machine erases its name also when the name
  /// leads to a newer one.
  public var forgetsNewerNames = true
  /// Until when nothing of the configuration is known, in milliseconds of the clock.
  public var knowsConfigurationFrom: UInt64 = 0
  /// Where port files are (`/var/lib/contrail/ports/vm`), nil for no files.
  public var portFiles: String?
  /// The time, in milliseconds: a test may have a clock of its own.
  public var clock: @Sendable () -> UInt64 = { KernelClock.monotonic / 1_000_000 }

  /// Which ports are subscribed, and the link on the node that each was posted with last.
  public internal(set) var subscriptions: [Subscription: String] = [:]
  /// The link that each interface was posted with first; a later name is ignored.
  public internal(set) var hostLinks: [String: String] = [:]
  private var visibleFrom: [String: UInt64] = [:]

  /// Knows nothing.
  public init() {}

  /// Gives a pod its interfaces, as the control plane does.
  public mutating func configure(_ name: String, uuid: String, _ list: [AgentInterface]) {
    names[name] = uuid
    machines[uuid] = Set(list.map(\.id))
    for interface in list { interfaces[interface.id] = interface }
  }

  /// Adds one interface to a virtual machine, which may be new.
  public mutating func add(_ interface: AgentInterface, to uuid: String) {
    machines[uuid, default: []].insert(interface.id)
    interfaces[interface.id] = interface
  }

  /// Takes one interface out of the configuration.
  public mutating func remove(_ interface: String, from uuid: String) {
    machines[uuid]?.remove(interface)
    interfaces[interface] = nil
  }

  /// The control plane removes a pod: its interfaces, then the virtual machine.
  public mutating func deleteConfiguration(_ name: String, uuid: String) {
    for id in machines[uuid] ?? [] { interfaces[id] = nil }
    machines[uuid] = nil
    if names[name] == uuid || forgetsNewerNames { names[name] = nil }
  }

  /// What the agent still knows after its end: the control plane's part, once it is told again.
  mutating func forget(configurationAfter milliseconds: Int) {
    subscriptions = [:]
    hostLinks = [:]
    visibleFrom = [:]
    knowsConfigurationFrom = now + UInt64(max(0, milliseconds))
  }

  private var now: UInt64 { clock() }
  private var knowsConfiguration: Bool { now >= knowsConfigurationFrom }
}

// MARK: Answering

extension AgentMemory {
  /// Answers one request.
  ///
  /// - Returns: status and body.
  mutating func answer(_ method: String, _ path: String, _ body: [UInt8]) -> (Int, [UInt8]) {
    let words = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    let ids = words.dropFirst().map { String($0) }
      .filter { AgentUUID.isDashed($0, lowerCaseOnly: true) }
    switch (method, words.first, words.count) {
    case ("GET", "vm-cfg", 2...) where path.utf8.count > "/vm-cfg/".utf8.count:
      return list(configuration(String(path.dropFirst("/vm-cfg/".count))))
    case ("POST", "vm", 1): return post(body)
    case ("GET", "vm", 2) where ids.count == 1:
      return list(ports(ids[0]))
    case ("GET", "vm", 3) where ids.count == 2:
      return list(port(ids[1]).map { [$0] })
    case ("DELETE", "vm", 2) where ids.count == 1:
      delete(ids[0])
      return (200, Self.empty)
    case ("POST", "syncports", 1): return (200, Self.empty)
    default: return (404, AgentAnswer.errorBody("Unknown Request"))
    }
  }

  private static let empty = Array("{}".utf8)

  private func list(_ objects: [JSONValue]?) -> (Int, [UInt8]) {
    guard let objects else { return (404, AgentAnswer.errorBody("{ Not Found }")) }
    return (200, JSONValue.agentList(objects))
  }

  /// `GET /vm-cfg/NAME`.
  private func configuration(_ name: String) -> [JSONValue]? {
    guard knowsConfiguration, let vm = names[name] else { return nil }
    let known = (machines[vm] ?? []).sorted().compactMap { interfaces[$0] }
    guard !known.isEmpty, known.allSatisfy(\.isNetworkKnown) else { return nil }
    return known.map { $0.configuration(vm: vm) }
  }

  /// `GET /vm/VM`: all of them or nothing.
  private func ports(_ vm: String) -> [JSONValue]? {
    guard knowsConfiguration, let ids = machines[vm], !ids.isEmpty else { return nil }
    let ready = ids.sorted().compactMap { port($0) }
    return ready.count == ids.count ? ready : nil
  }

  /// `GET /vm/VM/INTERFACE`: the virtual machine in the path is not looked at.
  private func port(_ id: String) -> JSONValue? {
    guard knowsConfiguration, let interface = interfaces[id],
      let vm = machines.first(where: { $0.value.contains(id) })?.key,
      isNested || hostLinks[id] != nil, now >= visibleFrom[id] ?? 0, interface.isNetworkKnown,
      interface.ipv4 != nil || interface.ipv6 != nil
    else { return nil }
    return interface.port(vm: vm, hostLink: hostLinks[id] ?? "")
  }

  /// `DELETE /vm/VM`: what configuration no longer links to it stays subscribed.
  private mutating func delete(_ vm: String) {
    guard knowsConfiguration else { return }
    for id in machines[vm] ?? [] {
      subscriptions = subscriptions.filter { $0.key.interface != id }
      hostLinks[id] = nil
      visibleFrom[id] = nil
    }
  }

  /// `POST /vm`.
  private mutating func post(_ body: [UInt8]) -> (Int, [UInt8]) {
    if let failure = subscribe(body, writesFile: true) {
      return (500, AgentAnswer.errorBody("{ \(failure) }"))
    }
    return (200, Self.empty)
  }

  /// Takes a port object.
  ///
  /// - Parameters:
  ///   - body: the object.
  ///   - writesFile: whether its file is written if there is none.
  /// - Returns: what is wrong with it, nil if nothing is.
  mutating func subscribe(_ body: [UInt8], writesFile: Bool) -> String? {
    let text = String(decoding: body, as: UTF8.self)
    guard let value = try? JSONValue.parse(body) else { return "Invalid Json string ==> \(text)" }
    guard let object = value.object else { return "Unexpected Json string ==> \(text)" }
    for key in ["vm-uuid", "vn-uuid", "vmi-uuid"] where object[key]?.string == nil {
      return "Invalid or missing data for <\(key)>"
    }
    for key in ["host-ifname", "vm-name"] where object[key]?.string == nil {
      return "Invalid or missing field for <\(key)>"
    }
    let id = AgentUUID.read(object["vmi-uuid"]?.string ?? "")
    let subscription = Subscription(
      vm: AgentUUID.read(object["vm-uuid"]?.string ?? ""),
      network: AgentUUID.read(object["vn-uuid"]?.string ?? ""), interface: id)
    let hostLink = object["host-ifname"]?.string ?? ""
    // A file that cannot be written is not told of, and then there is no subscription either.
    if writesFile, !writeFile(value, id) { return nil }
    subscriptions[subscription] = hostLink
    guard id != AgentUUID.none, hostLinks[id] == nil else { return nil }
    hostLinks[id] = hostLink
    visibleFrom[id] = now + UInt64(max(0, visibleDelay))
    return nil
  }

  /// Takes a port file's text after a start; the link must be on the node.
  mutating func reread(_ body: [UInt8], links: Set<String>) {
    guard let value = try? JSONValue.parse(body), let link = value["host-ifname"]?.string,
      links.contains(link)
    else { return }
    _ = subscribe(body, writesFile: false)
  }

  /// Writes the agent's own port file where there is none.
  private func writeFile(_ port: JSONValue, _ id: String) -> Bool {
    guard let portFiles, let name = port["vm-name"]?.string else { return true }
    let file = "\(portFiles)/\(name)/\(id)"
    if (try? Files.status(file)) != nil { return true }
    let own = port.setting("time", nil).setting("author", "contrail-vrouter-agent")
      .setting("time", .string(AgentInterface.time))
    do {
      if (try? Files.status("\(portFiles)/\(name)")) == nil {
        try Files.makeDirectory("\(portFiles)/\(name)", permissions: 0o755)
      }
      try Files.write(file, own.encoded(.indented(4)), mode: [.write, .create], permissions: 0o644)
      return true
    } catch {
      return false
    }
  }
}
