package import CNI

/// The variables of a CNI call, checked as the CNI skeleton does and in its order.
package struct ShimEnvironment: Sendable {
  private let variables: [(name: String, value: String)]

  /// CNI_COMMAND; nil if it is missing or empty.
  package let command: CNICommand?

  package init(_ variables: [(name: String, value: String)]) {
    self.variables = variables
    let verb = Self.value(of: "CNI_COMMAND", in: variables)
    command = verb.isEmpty ? nil : CNICommand(rawValue: verb)
  }

  /// A variable's value; empty if it is missing.
  package subscript(name: String) -> String { Self.value(of: name, in: variables) }

  private static func value(
    of name: String, in variables: [(name: String, value: String)]
  ) -> String {
    for variable in variables where variable.name.utf8.elementsEqual(name.utf8) {
      return variable.value
    }
    return ""
  }

  /// Checks that the verb has the variables that it needs, and that they are valid.
  ///
  /// - Throws: code 4: the first that is not valid, else `required env variables [A,B] missing`.
  package func check() throws(CNIError) {
    var missing: [String] = []
    if command == nil { missing.append("CNI_COMMAND") }
    let verb = command ?? .version
    let isForAttachment = verb == .add || verb == .delete || verb == .check || verb == .update
    if isForAttachment {
      if self["CNI_CONTAINERID"].isEmpty {
        missing.append("CNI_CONTAINERID")
      } else {
        try CNIValidation.containerID(self["CNI_CONTAINERID"])
      }
      if verb != .delete, self["CNI_NETNS"].isEmpty { missing.append("CNI_NETNS") }
      if self["CNI_IFNAME"].isEmpty {
        missing.append("CNI_IFNAME")
      } else {
        try CNIValidation.interfaceName(self["CNI_IFNAME"], for: verb)
      }
    }
    let needsPath = isForAttachment || verb == .garbageCollect || verb == .status
    if needsPath, self["CNI_PATH"].isEmpty { missing.append("CNI_PATH") }
    guard missing.isEmpty else {
      throw CNIError(
        .invalidEnvironment, "required env variables [\(missing.joined(separator: ","))] missing")
    }
  }

  /// Whether a pod's namespace may be the shim's own, CNI_NETNS_OVERRIDE.
  package var allowsOwnNamespace: Bool {
    let value = self["CNI_NETNS_OVERRIDE"]
    if value.utf8.elementsEqual("1".utf8) { return true }
    let lower = value.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    return lower.elementsEqual("true".utf8)
  }

  /// What the daemon gets: CNI_*, the trace context, and the mark of a call from inside a
  /// call; nothing else.
  package var forwarded: [String: String] {
    var result: [String: String] = [:]
    for variable in variables where Self.isForwarded(variable.name) {
      // As getenv(3): the first of several.
      if result[variable.name] == nil { result[variable.name] = variable.value }
    }
    return result
  }

  private static func isForwarded(_ name: String) -> Bool {
    if name.utf8.starts(with: "CNI_".utf8) { return true }
    return ["TRACEPARENT", "TRACESTATE", "BAGGAGE", "CNID_CALL"].contains { other in
      name.utf8.elementsEqual(other.utf8)
    }
  }
}
