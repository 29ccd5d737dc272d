package import CNI
package import Linux

/// Why a plugin on disk could not be called, or what it said when it failed.
package struct PluginError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kinds of failure.
  package enum Reason: Sendable, Equatable {
    /// There is no such program in the search path, or the type cannot be a program's name.
    case notFound(String)
    /// The program ended with an error object: the plugin's own word.
    case refused(CNIError)
    /// The program ended badly and said nothing that can be read; the text is libcni's.
    case failed(String)
    /// It ended well, but what it printed is no result.
    case unreadable(String)
    /// The time was over, or its request was cancelled; the program was killed.
    case deadline
    /// It printed more than it may; it was killed.
    case tooMuchOutput
    case notStarted(SystemError)
  }

  package let type: String
  /// The verb.
  package let command: CNICommand
  /// What went wrong.
  package let reason: Reason
  /// The end of what it wrote to standard error; empty if nothing.
  package let errorOutput: String

  package init(type: String, command: CNICommand, reason: Reason, errorOutput: String = "") {
    self.type = type
    self.command = command
    self.reason = reason
    self.errorOutput = errorOutput
  }

  /// One line for people, without the program's standard error.
  package var description: String {
    switch reason {
    case .notFound(let text), .failed(let text): text
    case .refused(let error): error.message
    case .unreadable(let text): "plugin \(type) printed no result: \(text)"
    case .deadline: "plugin \(type) did not finish \(command.rawValue) in time"
    case .tooMuchOutput: "plugin \(type) printed too much for \(command.rawValue)"
    case .notStarted(let error): "plugin \(type) could not be started: \(error)"
    }
  }

  /// Whether the plugin answered, in the Go skeleton's words, that it does not know the verb.
  ///
  /// Skeletons before 1.1.0 want a container id for every verb but VERSION, and so refuse STATUS
  /// and GC, which have none, before they look at the verb.
  package var isUnknownCommand: Bool {
    guard case .refused(let error) = reason else { return false }
    let isTold = error.message.hasPrefix("unknown CNI_COMMAND")
    switch command {
    // Skeletons from before VERSION had another code.
    case .version: return isTold
    case .status where error.message == "missing containerID": return true
    case .garbageCollect where error.message == "missing containerID": return true
    default: return isTold && error.code == .invalidEnvironment
    }
  }

  /// Whether no program has run: there is none, or it could not be started.
  ///
  /// A lack of descriptors, memory or processes passes, and a file that is being written will be
  /// whole: they say nothing about the program. Nor does a root that cannot be entered.
  package var hasRunNothing: Bool {
    switch reason {
    case .notFound: true
    case .notStarted(let error):
      !error.isTransient && ![.again, .textBusy].contains(error.errno)
        && error.operation != "chroot"
    case .refused, .failed, .unreadable, .deadline, .tooMuchOutput: false
    }
  }

  /// Whether the plugin refuses the configuration's version: so it has refused the ADD, too.
  package var isOfVersion: Bool {
    if case .refused(let error) = reason { error.code == .incompatibleVersion } else { false }
  }

  /// The error that goes back to the runtime.
  ///
  /// The plugin's own error passes unchanged; only empty details are filled with its standard
  /// error. A deadline is code 105, a lack of descriptors 11.
  ///
  /// - Parameter code: the code of every other failure: 103 for IPAM, 104 for a delegate.
  /// - Returns: the error.
  package func cniError(_ code: CNIErrorCode) -> CNIError {
    switch reason {
    case .refused(let error):
      CNIError(
        error.code, error.message, details: error.details.isEmpty ? errorOutput : error.details)
    case .deadline:
      CNIError(.deadline, description, details: errorOutput)
    case .notStarted(let error) where error.errno.isExhaustion:
      CNIError(.tryAgainLater, description, details: errorOutput)
    case .notFound, .failed, .unreadable, .tooMuchOutput, .notStarted:
      CNIError(code, description, details: errorOutput)
    }
  }
}
