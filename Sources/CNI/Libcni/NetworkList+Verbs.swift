package import CNI
package import JSON

/// One plugin's turn in a list.
package struct ListedCall: Sendable {
  /// The verb.
  package let command: CNICommand
  /// Its place in the list, from 0.
  package let position: Int
  /// Whose turn it is.
  package let plugin: ListedPlugin
  /// What it gets on stdin.
  package let configuration: NetworkConfiguration
}

/// The order in which the plugins of a list are called, what each gets, and what its error becomes.
///
/// How one plugin is called is the caller's matter: a program on disk, or a plugin of the daemon.
extension NetworkList {
  /// Calls one plugin; what it returns counts for ADD only.
  package typealias Turn<Answer> = (ListedCall) throws(CNIError) -> Answer

  /// Adds an attachment: each plugin gets the result of the one before it.
  ///
  /// What stands already when a plugin fails is the caller's to remove, with
  /// ``delete(_:_:where:_:)``.
  ///
  /// - Parameters:
  ///   - offered: the runtime's arguments by capability.
  ///   - turn: calls a plugin.
  /// - Returns: the last plugin's result.
  /// - Throws: the error of the plugin that failed, `plugin type="…" failed (add): …`.
  package func add(
    _ offered: JSONObject, _ turn: Turn<CNIResult>
  ) throws(CNIError) -> CNIResult {
    var result: CNIResult?
    for position in plugins.indices {
      result = try named("add", position) { () throws(CNIError) in
        try turn(try call(.add, position, result, offered))
      }
    }
    guard let result else { throw empty }
    return result
  }

  /// Deletes an attachment: the last plugin first; the first failure ends it, and all is repeated
  /// by the next DEL.
  ///
  /// - Parameters:
  ///   - result: that of the ADD, if it is known; only versions from 0.4.0 on get it.
  ///   - offered: the runtime's arguments by capability.
  ///   - isWanted: whether the plugin at a position is called.
  ///   - turn: calls a plugin.
  /// - Throws: the error of the plugin that failed, `plugin type="…" failed (delete): …`.
  package func delete(
    _ result: CNIResult?, _ offered: JSONObject, where isWanted: (Int) -> Bool = { _ in true },
    _ turn: Turn<Void>
  ) throws(CNIError) {
    if plugins.isEmpty { throw empty }
    let result = isAtLeast(.v040) ? result : nil
    for position in plugins.indices.reversed() where isWanted(position) {
      try named("delete", position) { () throws(CNIError) in
        try turn(try call(.delete, position, result, offered))
      }
    }
  }

  /// Checks an attachment: every plugin gets the result of the whole ADD.
  ///
  /// Nothing is asked where the list disables it.
  ///
  /// - Parameters: those of ``delete(_:_:where:_:)``.
  /// - Throws: code 1 for a version before 0.4.0; the error of the first plugin that says no,
  ///   `plugin type="…" failed (check): …`.
  package func check(
    _ result: CNIResult?, _ offered: JSONObject, where isWanted: (Int) -> Bool = { _ in true },
    _ turn: Turn<Void>
  ) throws(CNIError) {
    guard isAtLeast(.v040) else {
      throw CNIError(
        .incompatibleVersion,
        "configuration version \(goQuoted(version)) does not support the CHECK command")
    }
    if plugins.isEmpty { throw empty }
    if disablesCheck { return }
    for position in plugins.indices where isWanted(position) {
      try named("check", position) { () throws(CNIError) in
        try turn(try call(.check, position, result, offered))
      }
    }
  }

  /// Asks the plugins whether an ADD would be served; versions before 1.1.0 are not asked.
  ///
  /// - Throws: the first no, unchanged: its code says how bad it is.
  package func status(_ turn: Turn<Void>) throws(CNIError) {
    if plugins.isEmpty { throw empty }
    guard isAtLeast(.v110) else { return }
    for position in plugins.indices {
      try turn(try call(.status, position, nil, JSONObject()))
    }
  }

  /// Has every plugin collect what belongs to no valid attachment; one that fails stops no other.
  ///
  /// Nothing is asked of versions before 1.1.0, nor where the list disables it.
  ///
  /// - Parameters:
  ///   - valid: the attachments that must stay.
  ///   - turn: calls a plugin.
  /// - Throws: all failures as one error, with the code of the first.
  package func collectGarbage(
    valid: [NetworkConfiguration.Attachment], _ turn: Turn<Void>
  ) throws(CNIError) {
    guard isAtLeast(.v110), !disablesGC else { return }
    var failures: [CNIError] = []
    for position in plugins.indices {
      do throws(CNIError) {
        let own = try plugins[position].configuration(in: self).listing(valid)
        try turn(
          ListedCall(
            command: .garbageCollect, position: position, plugin: plugins[position],
            configuration: own))
      } catch {
        failures.append(error.prefixed(by: "failed to GC plugin \(plugins[position].type): "))
      }
    }
    if let error = CNIError(joining: failures) { throw error }
  }

  /// A list may name none itself, and files beside it may have gone.
  private var empty: CNIError { CNIError(.invalidConfiguration, "no plugin configs found") }

  private func call(
    _ command: CNICommand, _ position: Int, _ result: CNIResult?, _ offered: JSONObject
  ) throws(CNIError) -> ListedCall {
    ListedCall(
      command: command, position: position, plugin: plugins[position],
      configuration: try plugins[position].configuration(
        in: self, previous: result, offered: offered))
  }

  private func named<Answer>(
    _ verb: String, _ position: Int, _ body: () throws(CNIError) -> Answer
  ) throws(CNIError) -> Answer {
    do throws(CNIError) {
      return try body()
    } catch {
      throw error.prefixed(by: "plugin \(plugins[position].description) failed (\(verb)): ")
    }
  }
}
