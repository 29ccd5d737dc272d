package import CNI
import JSON
package import Linux

/// Finds a CNI plugin's program by its type and runs it, as libcni does.
///
/// It blocks until the program has ended, on the caller's thread and in its network namespace.
package struct PluginExecutor: Sendable {
  /// Where programs are looked for, first match wins.
  package let searchPath: [String]
  /// How much a program may print.
  package let limits: ProgramRun.Limits
  /// The program's `PATH`.
  package let path: String
  /// What programs are looked for below and run with as their root; nil for this process' own.
  package let root: RootDirectory?
  /// How long to wait before a program that is being written is tried again.
  let busyPause: Int

  /// libcni tries a program that is being written again this often.
  static let busyRetries = 5

  /// Creates an executor.
  ///
  /// - Parameters:
  ///   - searchPath: directories, the configured ones before those of CNI_PATH; empty entries are
  ///     passed over.
  ///   - limits: how much a program may print.
  ///   - path: the program's `PATH`.
  ///   - root: what programs are looked for below and run with as their root; nil for this
  ///     process' own.
  package init(
    searchPath: [String], limits: ProgramRun.Limits = ProgramRun.Limits(),
    path: String = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    root: RootDirectory? = nil
  ) {
    self.init(searchPath: searchPath, limits: limits, path: path, root: root, busyPause: 1000)
  }

  init(
    searchPath: [String], limits: ProgramRun.Limits, path: String, root: RootDirectory? = nil,
    busyPause: Int
  ) {
    self.searchPath = searchPath.filter { !$0.isEmpty }
    self.limits = limits
    self.path = path
    self.root = root
    self.busyPause = busyPause
  }

  /// The program of a plugin type: the first regular file of that name in the search path.
  ///
  /// - Parameters:
  ///   - type: the plugin's type.
  ///   - command: the verb that it is wanted for; it goes into the error.
  /// - Returns: its path, below the root.
  /// - Throws: ``PluginError/Reason/notFound(_:)``; ``PluginError/Reason/notStarted(_:)`` where
  ///   it cannot be looked for now.
  package func find(_ type: String, for command: CNICommand) throws(PluginError) -> String {
    if type.isEmpty { throw missing(type, command, "no plugin name provided") }
    if type.utf8.contains(0x2F) || type.utf8.contains(0) {
      throw missing(type, command, "invalid plugin name: \(type)")
    }
    if searchPath.isEmpty { throw missing(type, command, "no paths provided") }
    for directory in searchPath where !directory.utf8.contains(0) {
      let candidate = directory.hasSuffix("/") ? directory + type : "\(directory)/\(type)"
      do throws(SystemError) {
        if try isFile(candidate) { return candidate }
      } catch {
        throw PluginError(type: type, command: command, reason: .notStarted(error))
      }
    }
    let place = root.map { " below \($0.path)" } ?? ""
    throw missing(
      type, command,
      "failed to find plugin \(goQuoted(type)) in path "
        + "[\(searchPath.joined(separator: " "))]\(place)")
  }

  /// Whether a path leads to a regular file.
  ///
  /// - Throws: what says nothing about the file. Looking below a root takes a descriptor, and none
  ///   may be left.
  private func isFile(_ path: String) throws(SystemError) -> Bool {
    guard let root else { return (try? Files.status(path))?.kind == .regular }
    do throws(SystemError) {
      return try root.status(path).kind == .regular
    } catch {
      switch error.errno {
      case .noEntry, .notDirectory, .accessDenied, .loop, .nameTooLong: return false
      default: throw error
      }
    }
  }

  private func missing(_ type: String, _ command: CNICommand, _ text: String) -> PluginError {
    PluginError(type: type, command: command, reason: .notFound(text))
  }

  /// Runs a plugin for a verb that changes something: ADD, DEL, GC, UPDATE.
  ///
  /// - Parameters:
  ///   - call: what to run.
  ///   - permit: the proof that the undo was recorded.
  /// - Returns: what it printed.
  /// - Throws: every ``PluginError``; an exit status other than 0 is one.
  package func run(
    _ call: PluginInvocation, _ permit: borrowing Permit
  ) throws(PluginError) -> PluginOutput {
    try execute(call)
  }

  /// Runs a plugin for a verb that only looks: CHECK, STATUS, VERSION.
  ///
  /// - Parameter call: what to run; another verb is an error, nothing is run then.
  /// - Returns: what it printed.
  /// - Throws: every ``PluginError``; an exit status other than 0 is one.
  package func ask(_ call: PluginInvocation) throws(PluginError) -> PluginOutput {
    guard [.check, .status, .version].contains(call.command) else {
      throw PluginError(
        type: call.type, command: call.command,
        reason: .failed("\(call.command.rawValue) changes something and needs a permit"))
    }
    return try execute(call)
  }

  private func execute(_ call: PluginInvocation) throws(PluginError) -> PluginOutput {
    let program = try find(call.type, for: call.command)
    let run = try start(program, call)
    let tail = PluginExecutor.readable(run.errorOutput)
    if run.status == .exited(0) {
      return PluginOutput(type: call.type, output: run.output, errorOutput: tail)
    }
    throw PluginError(
      type: call.type, command: call.command,
      reason: PluginExecutor.failure(run.status, run.output, tail), errorOutput: tail)
  }

  /// Runs the program to its end, again while its file is being written.
  private func start(
    _ program: String, _ call: PluginInvocation
  ) throws(PluginError) -> ProgramRun {
    let environment = call.programEnvironment(path: path)
    var lastWords: [UInt8] = []
    var tries = 0
    while true {
      do throws(SystemError) {
        try call.deadline.check("run", program)
        return try ProgramRun.run(
          executable: program, arguments: [program], environment: environment, input: call.input,
          limits: limits, root: root, deadline: call.deadline, lastWords: &lastWords)
      } catch {
        guard error.errno == .textBusy, tries < PluginExecutor.busyRetries else {
          throw PluginError(
            type: call.type, command: call.command, reason: PluginExecutor.reason(error),
            errorOutput: PluginExecutor.readable(lastWords))
        }
      }
      tries += 1
      pause(call.deadline)
    }
  }

  /// Waits for the pause's time or the deadline's end; which of the two is seen by the next try.
  private func pause(_ deadline: Deadline) {
    var nothing: [PollEntry] = []
    try? deadline.capped(milliseconds: busyPause).wait(&nothing, "wait")
  }

  private static func reason(_ error: SystemError) -> PluginError.Reason {
    switch error.errno {
    case .timedOut, .cancelled: .deadline
    // The same number from starting it means that the environment is too large.
    case .tooBig where error.operation == "run": .tooMuchOutput
    default: .notStarted(error)
    }
  }
}
