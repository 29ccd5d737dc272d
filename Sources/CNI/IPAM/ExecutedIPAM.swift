package import CNI
package import Linux
import Libcni

/// An IPAM plugin on disk, executed for every verb as a network plugin executes it.
///
/// It gets the caller's environment and the whole configuration. Its errors are returned as they
/// are.
package struct ExecutedIPAM: Sendable {
  /// The value of `ipam.type`.
  package let type: String
  private let call: IPAMCall
  private let executor: PluginExecutor

  /// Creates one for a call; nothing is looked up yet.
  package init(_ type: String, _ call: IPAMCall) {
    self.init(type, call, PluginExecutor(searchPath: call.searchPath))
  }

  init(_ type: String, _ call: IPAMCall, _ executor: PluginExecutor) {
    self.type = type
    self.call = call
    self.executor = executor
  }

  /// Looks for the plugin without running it.
  ///
  /// - Throws: 103 if there is no such program in the search path.
  func checkInstalled() throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.find(type, for: .add)
    } catch {
      throw error.cniError(.ipam)
    }
  }

  /// Runs ADD, and DEL if that fails.
  ///
  /// Once the deadline has passed DEL is left to the caller, who rolls a failed ADD back with a
  /// deadline of its own.
  ///
  /// - Parameter permit: the proof that the undo was recorded.
  /// - Returns: the plugin's result.
  /// - Throws: the plugin's own error; 103 if it could not be run or printed no result, 105.
  package func add(_ permit: borrowing Permit) throws(CNIError) -> CNIResult {
    let version = try call.configuration.version()
    do throws(PluginError) {
      return try executor.run(invocation(.add), permit).result(defaultVersion: version)
    } catch {
      // Nothing ran if there was no such program.
      if case .notFound = error.reason { throw error.cniError(.ipam) }
      if !call.deadline.isOver { _ = try? executor.run(invocation(.delete), permit) }
      throw error.cniError(.ipam)
    }
  }

  /// Runs DEL.
  ///
  /// - Parameter permit: the proof that this is wanted.
  /// - Throws: as ``add(_:)``.
  package func delete(_ permit: borrowing Permit) throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.run(invocation(.delete), permit)
    } catch {
      throw error.cniError(.ipam)
    }
  }

  /// Runs CHECK.
  ///
  /// - Throws: as ``add(_:)``.
  package func check() throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.ask(invocation(.check))
    } catch {
      throw error.cniError(.ipam)
    }
  }

  /// Runs STATUS; a plugin that does not know the verb counts as ready.
  ///
  /// - Throws: as ``add(_:)``.
  package func status() throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.ask(invocation(.status))
    } catch {
      if !error.isUnknownCommand { throw error.cniError(.ipam) }
    }
  }

  /// Runs GC; a plugin that does not know the verb has nothing to remove.
  ///
  /// - Parameters:
  ///   - valid: the attachments to keep; the plugin finds them in its configuration under both
  ///     keys.
  ///   - permit: the proof that this is wanted.
  /// - Throws: as ``add(_:)``.
  package func collectGarbage(
    valid: [NetworkConfiguration.Attachment], _ permit: borrowing Permit
  ) throws(CNIError) {
    var invocation = invocation(.garbageCollect)
    invocation.input = try call.configuration.listing(valid).bytes
    do throws(PluginError) {
      _ = try executor.run(invocation, permit)
    } catch {
      if !error.isUnknownCommand { throw error.cniError(.ipam) }
    }
  }

  private func invocation(_ command: CNICommand) -> PluginInvocation {
    PluginInvocation(
      type: type, command: command, environment: call.environment,
      input: call.configuration.bytes, deadline: call.deadline)
  }
}
