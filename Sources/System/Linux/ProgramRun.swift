// Not for the shim: see OSThread.
#if !hasFeature(Embedded)
  import CLinux

  /// A program run to its end, with its output kept inside limits.
  public struct ProgramRun: Equatable, Sendable {
    /// How it ended.
    public let status: ExitStatus
    /// All of its standard output.
    public let output: [UInt8]
    /// The last part of its standard error.
    public let errorOutput: [UInt8]

    /// How much a program may print.
    public struct Limits: Sendable {
      /// Bytes of standard output; more ends the program with the error `Errno.tooBig`.
      public var output = 16 << 20
      /// Bytes of standard error that are kept, the last ones.
      public var errorOutput = 16 << 10

      /// The default limits.
      public init() {}
    }

    /// Starts a program, feeds it, collects what it prints and waits for its end.
    ///
    /// Whatever happens, nothing of its process group is left when this returns or throws.
    ///
    /// - Parameters:
    ///   - executable: its path, below the root; no search.
    ///   - arguments: argv, the program's name first.
    ///   - environment: the whole environment, `KEY=value` each.
    ///   - input: its standard input; not reading it is no error.
    ///   - limits: how much it may print.
    ///   - root: its root directory; nil for this process' own.
    ///   - deadline: when it is killed.
    /// - Returns: its status and output; a status other than 0 is no error here.
    /// - Throws: `timedOut`, `cancelled`, `tooBig`, or the error of starting it.
    public static func run(
      executable: String, arguments: [String], environment: [String], input: [UInt8] = [],
      limits: Limits = Limits(), root: RootDirectory? = nil, deadline: Deadline
    ) throws(SystemError) -> ProgramRun {
      var unseen: [UInt8] = []
      return try run(
        executable: executable, arguments: arguments, environment: environment, input: input,
        limits: limits, root: root, deadline: deadline, lastWords: &unseen)
    }

    /// Does the same, and also gives what a program that was killed had written to standard error.
    ///
    /// - Parameters:
    ///   - executable: its path, below the root; no search.
    ///   - arguments: argv, the program's name first.
    ///   - environment: the whole environment, `KEY=value` each.
    ///   - input: its standard input; not reading it is no error.
    ///   - limits: how much it may print.
    ///   - root: its root directory; nil for this process' own.
    ///   - deadline: when it is killed.
    ///   - lastWords: gets the end of its standard error if this throws.
    /// - Returns: its status and output; a status other than 0 is no error here.
    /// - Throws: `timedOut`, `cancelled`, `tooBig`, or the error of starting it.
    public static func run(
      executable: String, arguments: [String], environment: [String], input: [UInt8],
      limits: Limits, root: RootDirectory? = nil, deadline: Deadline, lastWords: inout [UInt8]
    ) throws(SystemError) -> ProgramRun {
      guard let root else {
        return try runHere(
          executable, arguments, environment, input, limits, deadline, &lastWords)
      }
      // All of it, not the start alone: a program may have asked to die with the thread that
      // started it (PR_SET_PDEATHSIG).
      let (result, words) = try root.run { () -> (Result<ProgramRun, SystemError>, [UInt8]) in
        var words: [UInt8] = []
        do throws(SystemError) {
          let run = try runHere(
            executable, arguments, environment, input, limits, deadline, &words)
          return (.success(run), words)
        } catch {
          return (.failure(error), words)
        }
      }
      lastWords = words
      return try result.get()
    }

    /// Does it with the calling thread's root.
    private static func runHere(
      _ executable: String, _ arguments: [String], _ environment: [String], _ input: [UInt8],
      _ limits: Limits, _ deadline: Deadline, _ lastWords: inout [UInt8]
    ) throws(SystemError) -> ProgramRun {
      // A program that does not read its input must not end this one; write(2) knows
      // no MSG_NOSIGNAL.
      Signal.ignoreBrokenPipes()
      let stdin = try Pipe()
      let stdout = try Pipe()
      let stderr = try Pipe()
      let child = try ChildProcess(
        executable: executable, arguments: arguments, environment: environment,
        input: stdin.reading.rawValue, output: stdout.writing.rawValue,
        errorOutput: stderr.writing.rawValue)
      var exchange = Exchange(
        input: stdin.keepWriting(), output: stdout.keepReading(), errorOutput: stderr.keepReading(),
        bytes: input, limits: limits)
      do throws(SystemError) {
        try exchange.run(child.descriptor, executable, deadline)
        // What the program left running ends with it; before its status is taken the group's number
        // is still its own.
        _ = kill(-child.pid, SIGKILL)
        let status = try child.wait(deadline: deadline)
        return ProgramRun(
          status: status, output: exchange.collected, errorOutput: exchange.collectedErrors)
      } catch {
        child.kill()
        lastWords = exchange.collectedErrors
        throw SystemError("run", executable, error.errno)
      }
    }
  }

  /// A pipe(2) whose ends close at exec.
  private struct Pipe: ~Copyable {
    let reading: FileDescriptor
    let writing: FileDescriptor

    init() throws(SystemError) {
      var ends: (Int32, Int32) = (-1, -1)
      _ = try retrying("pipe2", "") {
        unsafe withUnsafeMutablePointer(to: &ends) { pair in
          unsafe pair.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe pipe2($0, O_CLOEXEC) }
        }
      }
      reading = FileDescriptor(adopting: ends.0)
      writing = FileDescriptor(adopting: ends.1)
    }

    /// Closes the writing end and gives the other away, not blocking.
    consuming func keepReading() -> Int32 {
      try? reading.setNonBlocking(true)
      return reading.release()
    }

    /// Closes the reading end and gives the other away, not blocking.
    consuming func keepWriting() -> Int32 {
      try? writing.setNonBlocking(true)
      return writing.release()
    }
  }

  /// One end of a pipe that is closed when it has served, and then has the number -1, which
  /// poll(2) passes over.
  private struct End: ~Copyable {
    private(set) var number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { if number >= 0 { _ = close(number) } }

    mutating func shut() {
      if number >= 0 { _ = close(number) }
      number = -1
    }
  }

  /// The conversation with a running program.
  private struct Exchange: ~Copyable {
    private var input: End
    private var output: End
    private var errorOutput: End
    private let bytes: [UInt8]
    private let limits: ProgramRun.Limits
    private var written = 0
    private(set) var collected: [UInt8] = []
    private(set) var collectedErrors: [UInt8] = []

    init(
      input: Int32, output: Int32, errorOutput: Int32, bytes: [UInt8], limits: ProgramRun.Limits
    ) {
      self.input = End(input)
      self.output = End(output)
      self.errorOutput = End(errorOutput)
      self.bytes = bytes
      self.limits = limits
    }

    /// Goes on until the program has ended and what it had printed by then is read.
    mutating func run(_ child: Int32, _ name: String, _ deadline: Deadline) throws(SystemError) {
      if bytes.isEmpty { input.shut() }
      while true {
        var entries = [
          PollEntry(child, .read), PollEntry(input.number, .write),
          PollEntry(output.number, .read), PollEntry(errorOutput.number, .read),
        ]
        try deadline.wait(&entries, "run", name)
        if !entries[1].seen.isEmpty { feed() }
        if !entries[2].seen.isEmpty { try collectOutput() }
        if !entries[3].seen.isEmpty { collectErrors() }
        if !entries[0].seen.isEmpty { return try drain() }
      }
    }

    private mutating func feed() {
      do throws(SystemError) {
        written += try Descriptor.write(input.number, bytes, from: written)
        if written >= bytes.count { input.shut() }
      } catch {
        if error.errno != .again { input.shut() }
      }
    }

    private mutating func collectOutput() throws(SystemError) {
      do throws(SystemError) {
        if try Descriptor.read(output.number, into: &collected) == 0 { output.shut() }
      } catch {
        if error.errno != .again { output.shut() }
      }
      if collected.count > limits.output { throw SystemError("read", "", .tooBig) }
    }

    private mutating func collectErrors() {
      do throws(SystemError) {
        if try Descriptor.read(errorOutput.number, into: &collectedErrors) == 0 {
          errorOutput.shut()
        }
      } catch {
        if error.errno != .again { errorOutput.shut() }
      }
      let surplus = collectedErrors.count - limits.errorOutput
      if surplus > 0 { collectedErrors.removeFirst(surplus) }
    }

    /// Reads what is in the pipes now, without waiting for grandchildren that hold them open.
    private mutating func drain() throws(SystemError) {
      var before = -1
      while output.number >= 0, collected.count != before {
        before = collected.count
        try collectOutput()
      }
      if errorOutput.number >= 0 { collectErrors() }
    }
  }
#endif
