package import CNI
package import Linux

/// One call of a plugin on disk: what to run and what to give it.
package struct PluginInvocation: Sendable {
  /// The plugin's type, which is its program's name.
  package var type: String
  /// The verb.
  package var command: CNICommand
  /// The caller's variables; only those that ``PluginExecutor`` lets through reach the program.
  package var environment: [(String, String)]
  /// The network configuration, byte for byte.
  package var input: [UInt8]
  /// When the program is killed.
  package var deadline: Deadline

  package init(
    type: String, command: CNICommand, environment: [(String, String)], input: [UInt8],
    deadline: Deadline
  ) {
    self.type = type
    self.command = command
    self.environment = environment
    self.input = input
    self.deadline = deadline
  }

  /// Variables that a plugin may see besides `CNI_*` and ``ownerVariables``: the trace context
  /// of OpenTelemetry.
  static let traceContext = ["TRACEPARENT", "TRACESTATE", "BAGGAGE"]

  /// The variables by which the programs of an attachment, and all of a daemon's, are found when
  /// who started them was killed, and by which a program's own calls are known.
  ///
  /// Whoever sets them in ``environment`` chooses their values; they are passed on with `CNI_*`.
  package static let ownerVariables = ["CNID_ATTACHMENT", "CNID_DAEMON", "CNID_CALL"]

  /// The program's whole environment, `KEY=value` each.
  ///
  /// `CNI_COMMAND` is the call's verb whatever the caller's variables say; of a repeated name the
  /// last one counts. The variables by which the program is found stand first: whoever looks reads
  /// only the beginning.
  ///
  /// - Parameter path: the value of `PATH`.
  /// - Returns: the lines for exec.
  func programEnvironment(path: String) -> [String] {
    var names: [String] = []
    var values: [String: String] = [:]
    for (name, value) in environment where PluginInvocation.passes(name, value) {
      if values.updateValue(value, forKey: name) == nil { names.append(name) }
    }
    let owners = names.filter { Self.ownerVariables.contains($0) }
    let others = names.filter { $0 != "CNI_COMMAND" && !Self.ownerVariables.contains($0) }
    var lines = (owners + others).map { "\($0)=\(values[$0] ?? "")" }
    lines.append("CNI_COMMAND=\(command.rawValue)")
    lines.append("PATH=\(path)")
    return lines
  }

  private static func passes(_ name: String, _ value: String) -> Bool {
    // A zero byte would cut the variable short, a `=` in the name would make it another one.
    guard !name.utf8.contains(0), !value.utf8.contains(0), !name.utf8.contains(0x3D) else {
      return false
    }
    return name.utf8.starts(with: "CNI_".utf8) || traceContext.contains(name)
      || ownerVariables.contains(name)
  }
}

/// What a plugin printed when it succeeded.
package struct PluginOutput: Sendable, Equatable {
  package let type: String
  /// Everything on standard output.
  package let output: [UInt8]
  /// The end of its standard error, for the log.
  package let errorOutput: String

  /// Reads the result of an ADD.
  ///
  /// - Parameter defaultVersion: the version of a result that names none, the configuration's.
  /// - Returns: the result, whichever version the plugin printed.
  /// - Throws: ``PluginError/Reason/unreadable(_:)``.
  package func result(defaultVersion: CNIVersion) throws(PluginError) -> CNIResult {
    do throws(CNIError) {
      return try CNIResult(bytes: output, defaultVersion: defaultVersion)
    } catch {
      throw PluginError(
        type: type, command: .add,
        reason: .unreadable(PluginExecutor.words(for: error.description, about: output)),
        errorOutput: errorOutput)
    }
  }
}
