extension VRouter {
  /// What the control plane wrote about an interface, from texts of the form `{key:value}`.
  ///
  /// Counterpart of `Annotations` in the original's `contrail` package. A text of another form, and
  /// a key that is not known here, is ignored.
  public struct Annotations: Sendable, Equatable {
    /// The cluster's name.
    public var cluster = ""
    /// The kind of object: `Pod`.
    public var kind = ""
    /// The pod's name.
    public var name = ""
    /// The pod's namespace.
    public var namespace = ""
    /// The network as the pod names it; `default` for the cluster's own.
    public var network = ""
    /// Who made the interface: `k8s`.
    public var owner = ""
    /// The project.
    public var project = ""
    /// The interface's place among the pod's; nil where it is missing or no `<n>/<total>`.
    public var index: Index?
    /// The name that the pod asked for; empty for none.
    public var interface = ""

    /// An interface's place among those of its pod.
    public struct Index: Sendable, Equatable {
      /// From 0.
      public var number: Int
      /// How many there are.
      public var total: Int

      /// Creates an index from its parts.
      public init(number: Int, total: Int) {
        self.number = number
        self.total = total
      }

      /// Reads `<n>/<total>`.
      init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = Int(parts[0]), let total = Int(parts[1]),
          number >= 0, total > 0
        else { return nil }
        self.init(number: number, total: total)
      }
    }

    /// Creates annotations that say nothing.
    public init() {}

    /// Reads the texts in their order; of two with the same key the later counts.
    public init(_ texts: [String]) {
      for text in texts {
        guard let (key, value) = Self.pair(text) else { continue }
        switch key {
        case "cluster": cluster = value
        case "kind": kind = value
        case "name": name = value
        case "namespace": namespace = value
        case "network": network = value
        case "owner": owner = value
        case "project": project = value
        case "index": index = Index(value)
        case "interface": interface = value
        default: break
        }
      }
    }

    /// The parts before and after the first colon inside one pair of braces; values are not
    /// escaped in any way.
    private static func pair(_ text: String) -> (key: String, value: String)? {
      var bytes = Array(text.utf8)[...]
      if bytes.first == UInt8(ascii: "{"), bytes.last == UInt8(ascii: "}"), bytes.count > 1 {
        bytes = bytes.dropFirst().dropLast()
      }
      guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return nil }
      return (
        String(decoding: bytes[..<colon], as: UTF8.self),
        String(decoding: bytes[colon...].dropFirst(), as: UTF8.self)
      )
    }
  }
}
