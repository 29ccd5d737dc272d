import Addresses
public import CNI
public import JSON

/// What a plugin can do besides attaching pods; kubelet's `Capabilities`.
public enum PluginCapability: Int, Sendable, CaseIterable {
  /// It shapes traffic by itself, `NET_PLUGIN_CAPABILITY_SHAPING`.
  case shaping = 1
}

/// How a pod reaches itself through its service; kubelet's `HairpinMode`.
public enum HairpinMode: String, Sendable, CaseIterable {
  /// Not at all.
  case none
  /// The bridge's ports reflect frames.
  case hairpinVeth = "hairpin-veth"
  case promiscuousBridge = "promiscuous-bridge"
}

/// What a plugin is told once, before its first call; the arguments of kubelet's `Init`.
public struct PluginSettings: Sendable {
  /// What the daemon offers.
  public let host: PluginHost
  /// How pods reach themselves.
  public let hairpinMode: HairpinMode
  /// Addresses that are not masqueraded, CIDR; empty for none.
  public let nonMasqueradeCIDR: String
  /// MTU for pods; 0 lets the plugin choose (kubelet's `UseDefaultMTU`).
  public let mtu: Int

  /// Creates the settings.
  public init(
    host: PluginHost, hairpinMode: HairpinMode = .none, nonMasqueradeCIDR: String = "", mtu: Int = 0
  ) {
    self.host = host
    self.hairpinMode = hairpinMode
    self.nonMasqueradeCIDR = nonMasqueradeCIDR
    self.mtu = mtu
  }
}

/// An event that plugins hear of; kubelet's `Event`.
public struct PluginEvent: Sendable {
  /// The node's pod CIDR is known or has changed; the details' `pod-cidr` holds it.
  public static let podCIDRChange = "pod-cidr-change"
  /// Key of the details of `podCIDRChange`.
  public static let podCIDRDetail = "pod-cidr"

  /// What happened.
  public let name: String
  /// More of it.
  public let details: JSONObject

  /// Creates an event.
  public init(name: String, details: JSONObject) {
    self.name = name
    self.details = details
  }
}

/// A pod's addresses as the plugin sees them; kubelet's `PodNetworkStatus`.
public struct PodNetworkStatus: Equatable, Sendable {
  /// The primary address first.
  public let addresses: [String]

  /// Creates a status.
  public init(addresses: [String]) { self.addresses = addresses }
}

/// A way to attach pods to networks.
///
/// One instance serves all calls, from many threads; a call may block, on the thread of its own
/// request, as long as its deadline allows. Successor of kubelet's `NetworkPlugin` (`Init`,
/// `Event`, `Name`, `Capabilities`, `SetUpPod`, `TearDownPod`, `GetPodNetworkStatus`, `Status`)
/// with CNI's verbs in place of the pod's.
public protocol NetworkPlugin: AnyObject, Sendable {
  /// Its effects on the outside.
  associatedtype Step: PluginStep

  /// Its name: a qualified name as in Kubernetes, unique among the plugins.
  var name: String { get }

  /// Other values of a configuration's `type` that mean this plugin.
  var aliases: [String] { get }

  /// The keys of a configuration that are this plugin's own; nil for any.
  ///
  /// Every other key, unless it means something to somebody else, is a warning in the log.
  var keys: KeyTable? { get }

  /// Checks a configuration as far as nothing but the configuration is needed; with any of its
  /// keys left out, it complains of none that is there and good.
  func inspect(_ configuration: NetworkConfiguration) throws(CNIError)

  /// Whether a call on `/cni` with this configuration must name its pod in CNI_ARGS.
  ///
  /// Asked on the thread that serves all clients: it takes microseconds, opens no file and
  /// waits for nobody.
  func needsPodIdentity(_ configuration: NetworkConfiguration) -> Bool

  /// Whether it reads ``PodRequest/callerName``: to find that out costs a look into /proc.
  var readsCallerName: Bool { get }

  /// Whether it attaches sets, and its calls have parts.
  var servesSets: Bool { get }

  /// What must not be worked on by two calls at a time, beyond their attachment: a pod's name, for
  /// a plugin whose attachments of one pod share something; nil for nothing.
  ///
  /// Asked on the thread that serves all clients, as ``needsPodIdentity(_:)``, and once when an
  /// attachment is recorded, with the DEL that its record would give.
  func lock(for request: PodRequest) -> String?

  /// The networks in which a GC with this configuration must be alone, besides its own: a record
  /// that comes while it sweeps would not be among those that it keeps.
  ///
  /// Asked when such a call is read.
  func otherNetworks(of configuration: NetworkConfiguration) -> Set<String>

  /// The outside names of an attachment whose record lists none, because a program wrote it that
  /// did not know of names.
  ///
  /// Asked once for each such record, at the start.
  func outsideNames(of record: AttachmentRecord) -> Set<OutsideName>

  /// Called exactly once, before everything else.
  func initialize(_ settings: PluginSettings) throws(CNIError)

  /// Something happened; may be ignored.
  ///
  /// Called on the daemon's first thread, which feeds the watchdog: it returns at once.
  func event(_ event: PluginEvent)

  /// What it can do besides.
  var capabilities: Set<PluginCapability> { get }

  /// Attaches: records the plan, makes what it says, returns the result.
  ///
  /// On failure it just throws; the daemon undoes by `delete`.
  func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult

  /// Detaches, and undoes a failed ADD: removes what is the attachment's and still there.
  ///
  /// Nothing there is success; so is a second time. A backend that is down is `call.postpone`, one
  /// that refuses an error.
  func delete(_ call: PluginCall<Step>) throws(CNIError)

  /// Finds out whether the attachment is still as ADD's result says.
  func check(_ call: PluginCall<Step>) throws(CNIError)

  /// Whether an ADD with this configuration could work now: code 50 or 51 if not.
  func status(_ call: PluginCall<Step>) throws(CNIError)

  /// Whether the backend that its ADDs need is there, as far as it is known now; nil if it was
  /// never used or the plugin has none.
  ///
  /// Asked on the thread that serves the metrics: it waits for nobody.
  var isReady: Bool? { get }

  /// Removes what belongs to this network and to none of the valid attachments, beyond what records
  /// tell: the daemon has called `delete` for the recorded ones already.
  func garbageCollect(_ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment])
    throws(CNIError)

  /// Brings an attachment in line with a new configuration, and returns the new result.
  func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult

  /// The pod's addresses; nil if the plugin does not know.
  func podNetworkStatus(_ call: PluginCall<Step>) throws(CNIError) -> PodNetworkStatus?
}

extension NetworkPlugin {
  /// None.
  public var aliases: [String] { [] }
  /// Any.
  public var keys: KeyTable? { nil }
  /// Nothing to find.
  public func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {}
  /// No.
  public func needsPodIdentity(_ configuration: NetworkConfiguration) -> Bool { false }
  /// No.
  public var readsCallerName: Bool { false }
  /// No.
  public var servesSets: Bool { false }
  /// Nothing.
  public func lock(for request: PodRequest) -> String? { nil }
  /// None.
  public func otherNetworks(of configuration: NetworkConfiguration) -> Set<String> { [] }
  /// None.
  public func outsideNames(of record: AttachmentRecord) -> Set<OutsideName> { [] }
  /// Nothing to prepare.
  public func initialize(_ settings: PluginSettings) throws(CNIError) {}
  /// Ignored.
  public func event(_ event: PluginEvent) {}
  /// None.
  public var capabilities: Set<PluginCapability> { [] }
  /// Ready.
  public func status(_ call: PluginCall<Step>) throws(CNIError) {}
  /// Not known.
  public var isReady: Bool? { nil }
  /// Nothing beyond the records.
  public func garbageCollect(_ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment])
    throws(CNIError)
  {}
  /// Refused with code 4, as CNI does with a verb that a plugin lacks.
  public func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    throw CNIError(.invalidEnvironment, "plugin \(name) does not support UPDATE")
  }
  /// What the record's result says.
  public func podNetworkStatus(_ call: PluginCall<Step>) throws(CNIError) -> PodNetworkStatus? {
    guard let result = call.record?.result else { return nil }
    return PodNetworkStatus(addresses: result.ips.map { $0.address.address.description })
  }
}
