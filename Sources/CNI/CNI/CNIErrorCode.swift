/// The code of a CNI error: what kind of failure it is, for a runtime to act on.
///
/// 1–8, 11, 50 and 51 are the specification's (1.1.0), 999 is what the Go library reports for
/// untyped errors, 100–105 are this program's own. Plugins on disk may send any other number.
public struct CNIErrorCode: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public let rawValue: Int

  /// Creates a code from its number; every number is allowed.
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// 1: the configuration's version, or what it would need, is not supported.
  public static let incompatibleVersion = CNIErrorCode(rawValue: 1)
  /// 2: the configuration has a field that is not supported; the message holds key and value.
  public static let unsupportedField = CNIErrorCode(rawValue: 2)
  /// 3: the container is unknown, so that DEL is not needed; never sent by cnid.
  public static let unknownContainer = CNIErrorCode(rawValue: 3)
  /// 4: an environment variable is missing or invalid.
  public static let invalidEnvironment = CNIErrorCode(rawValue: 4)
  /// 5: reading or writing failed: stdin, or the exchange with the daemon.
  public static let ioFailure = CNIErrorCode(rawValue: 5)
  /// 6: something could not be decoded: the configuration, a result, a request.
  public static let decodingFailure = CNIErrorCode(rawValue: 6)
  /// 7: the configuration can be read but is not valid.
  public static let invalidConfiguration = CNIErrorCode(rawValue: 7)
  /// 8: CNI_NETNS is the plugin's own network namespace.
  public static let invalidNamespace = CNIErrorCode(rawValue: 8)
  /// 11: the runtime should try again later: the daemon is absent, full or stopping.
  public static let tryAgainLater = CNIErrorCode(rawValue: 11)
  /// 50: STATUS: the plugin cannot serve ADD.
  public static let notAvailable = CNIErrorCode(rawValue: 50)
  /// 51: STATUS: as 50, and existing containers may suffer too.
  public static let limitedConnectivity = CNIErrorCode(rawValue: 51)
  /// 100: the kernel refused a change (netlink).
  public static let kernel = CNIErrorCode(rawValue: 100)
  /// 101: Open vSwitch refused or could not be reached.
  public static let openVSwitch = CNIErrorCode(rawValue: 101)
  /// 102: the vRouter agent refused. (One that cannot be reached is 11.)
  public static let vRouterAgent = CNIErrorCode(rawValue: 102)
  /// 103: address management failed.
  public static let ipam = CNIErrorCode(rawValue: 103)
  /// 104: a delegate plugin failed without an error of its own.
  public static let delegate = CNIErrorCode(rawValue: 104)
  /// 105: the deadline passed; the message names the step that was waiting.
  public static let deadline = CNIErrorCode(rawValue: 105)
  /// 999: an internal error, or one without a type.
  public static let `internal` = CNIErrorCode(rawValue: 999)
}
