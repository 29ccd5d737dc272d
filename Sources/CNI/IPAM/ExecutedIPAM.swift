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
    self.init(type, call, PluginExecutor(searchPath: call.searchPath, root: call.hostRoot))
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
      throw told(error)
    }
  }

  /// The error for the caller; one of a program that is not there names what needs none.
  private func told(_ error: PluginError) -> CNIError {
    var told = error.cniError(.ipam)
    if case .notFound = error.reason {
      told.message += "; built in are \(IPAMDriver.builtIn.joined(separator: ", "))"
    }
    return told
  }

  /// Runs ADD, and one DEL if it fails by itself.
  ///
  /// Once the deadline has passed DEL is left to the caller, who rolls a failed ADD back with a
  /// deadline of its own.
  ///
  /// - Parameters:
  ///   - permit: the proof that the undo was recorded.
  ///   - whenUndone: called before a failure that needs no other undo is thrown; with why the DEL
  ///     failed, if it did.
  /// - Returns: the plugin's result.
  /// - Throws: the plugin's own error; 103 if it could not be run or printed no result, 105.
  package func add(
    _ permit: borrowing Permit, whenUndone: (String?) -> Void = { _ in }
  ) throws(CNIError) -> CNIResult {
    let version = try call.configuration.version()
    do throws(PluginError) {
      return try executor.run(invocation(.add), permit).result(defaultVersion: version)
    } catch {
      switch error.reason {
      // Nothing ran, so nothing was leased.
      case .notFound, .notStarted: whenUndone(nil)
      case .deadline: break
      case .refused, .failed, .unreadable, .tooMuchOutput:
        if !call.deadline.isOver { undo(permit, whenUndone) }
      }
      throw told(error)
    }
  }

  private func undo(_ permit: borrowing Permit, _ whenUndone: (String?) -> Void) {
    do throws(PluginError) {
      _ = try executor.run(invocation(.delete), permit)
      whenUndone(nil)
    } catch {
      if error.reason != .deadline { whenUndone("\(error)") }
    }
  }

  /// Runs DEL.
  ///
  /// - Parameters:
  ///   - permit: the proof that this is wanted.
  ///   - excuse: asked where the program is not there, cannot be started or does not know the
  ///     version, with the words for it: whether that is no failure.
  /// - Throws: as ``add(_:whenUndone:)``.
  package func delete(
    _ permit: borrowing Permit, excuse: (String) -> Bool = { _ in false }
  ) throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.run(invocation(.delete), permit)
    } catch {
      if error.hasRunNothing || error.isOfVersion, excuse(error.description) { return }
      throw error.cniError(.ipam)
    }
  }

  /// Runs CHECK.
  ///
  /// - Throws: as ``add(_:whenUndone:)``; code 11 for a program that is not there, cannot be
  ///   started or takes too long: it says nothing about the attachment.
  package func check() throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.ask(invocation(.check))
    } catch {
      var told = told(error)
      if error.hasRunNothing || error.reason == .deadline { told.code = .tryAgainLater }
      throw told
    }
  }

  /// Runs STATUS; a plugin that does not know the verb counts as ready.
  ///
  /// - Throws: as ``add(_:whenUndone:)``.
  package func status() throws(CNIError) {
    do throws(PluginError) {
      _ = try executor.ask(invocation(.status))
    } catch {
      if !error.isUnknownCommand { throw told(error) }
    }
  }

  /// Runs GC; a plugin that does not know the verb has nothing to remove.
  ///
  /// - Parameters:
  ///   - valid: the attachments to keep; the plugin finds them in its configuration under both
  ///     keys.
  ///   - permit: the proof that this is wanted.
  /// - Throws: as ``add(_:whenUndone:)``.
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
