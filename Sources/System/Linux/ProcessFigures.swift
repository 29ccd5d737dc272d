// Not for the shim: only the daemon tells of itself.
#if !hasFeature(Embedded)
  import CLinux

  /// What the kernel counts of this process, getrusage(2) and proc(5), at one moment.
  public struct ProcessFigures: Equatable, Sendable {
    /// Processor time of all threads, user and system, in nanoseconds; CLOCK_PROCESS_CPUTIME_ID.
    public let processorNanoseconds: UInt64
    /// Memory in use in bytes; the kernel may be off by some pages for each processor.
    public let residentBytes: UInt64
    /// Address space in bytes.
    public let virtualBytes: UInt64
    /// Threads.
    public let threads: UInt64
    /// When it started, in clock ticks after boot; see `startNanoseconds`.
    private let startTicks: UInt64
    /// Open descriptors.
    public let descriptors: UInt64
    /// How many descriptors it may have, RLIMIT_NOFILE; `UInt64.max` for any number.
    public let maximumDescriptors: UInt64

    /// Reads them; nil without /proc.
    public init?() {
      guard let line = try? Files.read("/proc/self/stat", limit: 4096) else { return nil }
      // The program's name, which may hold anything, ends at the last parenthesis.
      guard let end = line.lastIndex(of: 0x29) else { return nil }
      let fields = line[end...].split(separator: 0x20).map { String(decoding: $0, as: UTF8.self) }
      // Field 3 of proc_pid_stat(5), the state, is the first after the name.
      func field(_ number: Int) -> UInt64 {
        fields.indices.contains(number - 2) ? UInt64(fields[number - 2]) ?? 0 : 0
      }
      threads = field(20)
      startTicks = field(22)
      virtualBytes = field(23)
      residentBytes = field(24).multipliedReportingOverflow(by: UInt64(getpagesize())).partialValue
      processorNanoseconds = KernelClock.processor
      descriptors = Self.openDescriptors
      var limit = rlimit()
      maximumDescriptors =
        unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        ? UInt64(limit.rlim_cur) : 0
    }

    /// When the process started, nanoseconds after boot (CLOCK_BOOTTIME).
    public var startNanoseconds: UInt64 {
      let ticks = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
      return startTicks.multipliedReportingOverflow(by: 1_000_000_000 / ticks).partialValue
    }

    private static var openDescriptors: UInt64 {
      // Since Linux 6.2 the directory's size is the number; before, one of the entries is
      // the listing's own.
      if let status = try? Files.status("/proc/self/fd"), status.size > 0 {
        return UInt64(status.size)
      }
      return UInt64(max(0, ((try? Files.list("/proc/self/fd"))?.count ?? 1) - 1))
    }
  }
#endif
