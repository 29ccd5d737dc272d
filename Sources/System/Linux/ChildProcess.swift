// Not for the shim: see OSThread.
#if !hasFeature(Embedded)
  import CLinux

  /// How a process ended.
  public enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    /// By itself, with this status.
    case exited(Int32)
    /// By this signal.
    case signalled(Int32)

    /// `exit status 1`, `signal 9`.
    public var description: String {
      switch self {
      case .exited(let status): "exit status \(status)"
      case .signalled(let number): "signal \(number)"
      }
    }
  }

  /// A process that this one started, in a process group of its own.
  ///
  /// It gets descriptors 0, 1 and 2 only, an empty signal mask and default signal actions. Nobody
  /// else may wait for it.
  public struct ChildProcess: ~Copyable, Sendable {
    /// Its process id, valid until `wait` has returned its status.
    public let pid: Int32
    private let handle: FileDescriptor

    /// Starts a program, posix_spawn(3).
    ///
    /// The calling thread's root and network namespace are the child's.
    ///
    /// - Parameters:
    ///   - executable: its path; no search.
    ///   - arguments: argv, the program's name first.
    ///   - environment: the whole environment, `KEY=value` each.
    ///   - input: what becomes its standard input; nil: nothing to read.
    ///   - output: what becomes its standard output; nil: thrown away.
    ///   - errorOutput: what becomes its standard error; nil: thrown away.
    ///   - directory: its working directory.
    /// - Throws: the error of pipe(2), posix_spawn(3) or pidfd_open(2); then no child is left.
    public init(
      executable: String, arguments: [String], environment: [String],
      input: Int32? = nil, output: Int32? = nil, errorOutput: Int32? = nil, directory: String = "/"
    ) throws(SystemError) {
      // Below another root there may be no /dev/null: it is opened only where it is used.
      let isWhole = input != nil && output != nil && errorOutput != nil
      let null = isWhole ? nil : try Files.open("/dev/null", [.readWrite])
      var actions = unsafe posix_spawn_file_actions_t()
      unsafe posix_spawn_file_actions_init(&actions)
      defer { _ = unsafe posix_spawn_file_actions_destroy(&actions) }
      var attributes = posix_spawnattr_t()
      unsafe posix_spawnattr_init(&attributes)
      defer { _ = unsafe posix_spawnattr_destroy(&attributes) }

      let number =
        switch null {
        case .some(let null): null.rawValue
        case nil: Int32(-1)
        }
      let ends = [input ?? number, output ?? number, errorOutput ?? number]
      guard ends.allSatisfy({ $0 > 2 }) else {
        // dup2 of one of 0–2 onto another would overwrite what the next one needs.
        throw SystemError("spawn", executable, .invalid)
      }
      for (standard, end) in zip(Int32(0)..., ends) {
        _ = unsafe posix_spawn_file_actions_adddup2(&actions, end, standard)
      }
      _ = unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3)
      _ = unsafe posix_spawn_file_actions_addchdir_np(&actions, directory)

      var none = sigset_t()
      unsafe sigemptyset(&none)
      var every = sigset_t()
      unsafe sigfillset(&every)
      _ = unsafe posix_spawnattr_setsigmask(&attributes, &none)
      _ = unsafe posix_spawnattr_setsigdefault(&attributes, &every)
      _ = unsafe posix_spawnattr_setpgroup(&attributes, 0)
      _ = unsafe posix_spawnattr_setflags(&attributes, Int16(cl_SPAWN_FLAGS))

      var pid: pid_t = 0
      let code = unsafe CStrings.withPointers(arguments) { argv in
        unsafe CStrings.withPointers(environment) { envp in
          unsafe posix_spawn(&pid, executable, &actions, &attributes, argv, envp)
        }
      }
      if code != 0 { throw SystemError("spawn", executable, Errno(rawValue: code)) }
      let opened = cl_pidfd_open(pid)
      if opened < 0 {
        // The child cannot be waited for with a deadline: it must not run.
        let errno = Errno.current
        _ = CLinux.kill(-pid, SIGKILL)
        _ = waitpid(pid, nil, 0)
        throw SystemError("pidfd_open", executable, errno)
      }
      self.pid = pid
      handle = FileDescriptor(adopting: opened)
    }

    /// Readable once the process has ended, pidfd_open(2).
    public var descriptor: Int32 { handle.rawValue }

    /// Waits for its end and takes its status; to be called once.
    public func wait(deadline: Deadline) throws(SystemError) -> ExitStatus {
      try deadline.wait(handle.rawValue, for: .read, "wait", "process \(pid)")
      var (exited, value): (Int32, Int32) = (0, 0)
      let number = handle.rawValue
      _ = try retrying("waitid", "process \(pid)") { unsafe cl_wait_pidfd(number, &exited, &value) }
      return exited != 0 ? .exited(value) : .signalled(value)
    }

    /// Sends it a signal; a process that has ended is no error.
    public func signal(_ signal: Signal) {
      _ = cl_pidfd_send_signal(handle.rawValue, signal.rawValue)
    }

    /// Kills it and all of its process group, and waits for its end, five seconds at the most.
    public func kill() {
      _ = CLinux.kill(-pid, SIGKILL)
      // One that hangs in the kernel cannot be waited for; it ends with what holds it.
      _ = try? wait(deadline: .after(seconds: 5))
    }
  }

  /// C strings for exec.
  private enum CStrings {
    static func withPointers<R>(
      _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
      var pointers = unsafe strings.map { unsafe strdup($0) }
      unsafe pointers.append(nil)
      defer { unsafe pointers.forEach { unsafe free($0) } }
      return unsafe body(pointers)
    }
  }
#endif
