import CLinux

/// The process that this code runs in.
public enum Process {
  /// Its id.
  public static var pid: Int32 { getpid() }

  /// The user whose rights it has.
  public static var effectiveUser: UInt32 { geteuid() }

  /// Ends it at once with a status, _exit(2); output that is still buffered is lost.
  public static func exit(_ status: Int32) -> Never { _exit(status) }

  /// Opens those of the descriptors 0, 1 and 2 that are closed, on /dev/null.
  ///
  /// To be called before anything else: what is opened otherwise gets one of these numbers, and
  /// what is meant for people goes there.
  public static func openStandardDescriptors() {
    for number in Int32(0)...2 where cl_fcntl(number, F_GETFD, 0) < 0 {
      // It gets the lowest free number, which is this one. Reading a standard input that was closed
      // still fails.
      _ = unsafe cl_open("/dev/null", number == 0 ? O_WRONLY : O_RDWR, 0)
    }
  }

  /// Takes bits away from the permissions of files that it makes, umask(2).
  public static func setFileCreationMask(_ bits: UInt32) { _ = umask(mode_t(bits)) }

  /// Lets all threads share one or few heaps, mallopt(3), so that memory freed by one thread
  /// serves the others.
  public static func limitHeaps(to count: Int32) { _ = mallopt(M_ARENA_MAX, count) }

  /// The variables of its environment in order; entries without `=` or with an empty
  /// name are left out.
  public static func environment() -> [(name: String, value: String)] {
    var result: [(name: String, value: String)] = []
    var next = unsafe cl_environment()
    while let list = unsafe next, let entry = unsafe list.pointee {
      let text = unsafe String(cString: entry)
      if let equals = text.utf8.firstIndex(of: 0x3D), equals > text.startIndex {
        result.append(
          (String(text[..<equals]), String(text[text.utf8.index(after: equals)...])))
      }
      unsafe next = list.advanced(by: 1)
    }
    return result
  }

  /// The name by which it was started, without directories; empty if none was given.
  public static var name: String {
    guard let name = unsafe cl_program_name() else { return "" }
    return unsafe String(cString: name)
  }

  /// Its arguments, the program's name first, from `/proc/self/cmdline`; none without /proc.
  public static func arguments() -> [String] {
    do throws(SystemError) {
      let line = try Files.read("/proc/self/cmdline", limit: 4 << 20)
      return line.split(separator: 0, omittingEmptySubsequences: false).dropLast().map {
        String(decoding: $0, as: UTF8.self)
      }
    } catch {
      return []
    }
  }

  /// Takes a variable out of its environment, unsetenv(3); to be called before the first
  /// other thread starts.
  public static func removeVariable(_ name: String) { _ = unsafe unsetenv(name) }

  /// One variable of its environment.
  public static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}
