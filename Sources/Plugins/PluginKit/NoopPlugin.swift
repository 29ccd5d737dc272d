public import CNI

/// Attaches nothing and succeeds; what `initNetworkPlugin` gives for no name.
///
/// Counterpart of kubelet's `NoopNetworkPlugin`.
public final class NoopPlugin: NetworkPlugin {
  /// It has no effects, so it has no steps.
  public enum Step: PluginStep {
    /// No step has a name.
    public init?(rawValue: String) { nil }
    /// Of no step.
    public var rawValue: String { switch self {} }
    /// None.
    public static var allCases: [Step] { [] }
  }

  /// kubelet's `DefaultPluginName`.
  public static let pluginName = "kubernetes.io/no-op"

  /// Creates one.
  public init() {}

  /// `kubernetes.io/no-op`.
  public var name: String { Self.pluginName }

  /// Hands the previous result on, or an empty one.
  public func add(_ call: AddCall<Step>) throws(CNIError) -> CNIResult {
    try call.request.configuration.prevResult() ?? CNIResult()
  }

  /// Does nothing.
  public func delete(_ call: PluginCall<Step>) throws(CNIError) {}

  /// Finds nothing wrong.
  public func check(_ call: PluginCall<Step>) throws(CNIError) {}
}
