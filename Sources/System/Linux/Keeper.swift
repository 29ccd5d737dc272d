// The shim writes no file that has to outlive a power cut.
#if !hasFeature(Embedded)
  import CLinux

  /// Sends files to the disk about a second after they were written, many at a time.
  ///
  /// Whoever writes a file only notes its path, so no call waits for a disk. A power cut costs at
  /// most what was noted in the last second. Nothing wakes the machine while nothing is written.
  package final class Keeper: Sendable {
    private struct State {
      var paths: Set<String> = []
      /// What was last reported, so that it is reported once.
      var complaint = ""
      var report: @Sendable (SystemError) -> Void = { _ in }
      /// Wakes the thread; nil before ``Keeper/start(_:)``.
      var wake: Wake?
    }

    private final class Wake: Sendable {
      let semaphore: Semaphore
      init() throws(SystemError) { semaphore = try Semaphore() }
    }

    /// The process's own.
    package static let shared = Keeper()

    private static let pauseMilliseconds = 1000
    /// How many files are open at the same time.
    private static let batch = 64

    private let state = Mutex(State())
    /// Held while files are sent to the disk: a flush at the end waits for one that has begun.
    private let flushing = Mutex(())

    /// Creates a keeper that only collects paths until ``start(_:)``.
    package init() {}

    /// Starts the thread that sends files to the disk.
    ///
    /// - Parameter report: is told of an error, once until it is another one or none.
    /// - Throws: the error of eventfd(2) or of starting a thread.
    package func start(_ report: @escaping @Sendable (SystemError) -> Void) throws(SystemError) {
      let wake = try Wake()
      state.withLock { state in
        state.report = report
        state.wake = wake
        if !state.paths.isEmpty { wake.semaphore.signal() }
      }
      try OSThread.start { [self] in
        while true {
          wake.semaphore.wait()
          Clock.pause(milliseconds: Self.pauseMilliseconds)
          flush()
        }
      }
    }

    /// Notes a file that was written, renamed or removed.
    package func note(_ path: String) {
      state.withLock { state in
        let isFirst = state.paths.isEmpty
        guard state.paths.insert(path).inserted, isFirst else { return }
        state.wake?.semaphore.signal()
      }
    }

    /// Sends what was noted to the disk now, and waits for it.
    package func flush() { flushing.withLock { _ in flushNow() } }

    private func flushNow() {
      let paths = state.withLock { state in
        let paths = state.paths
        state.paths = []
        return Array(paths)
      }
      guard !paths.isEmpty else { return }
      var failure: SystemError?
      for start in stride(from: 0, to: paths.count, by: Self.batch) {
        if let error = keep(paths[start..<min(start + Self.batch, paths.count)]) {
          failure = error
        }
      }
      for directory in Set(paths.map(Self.directory)) {
        let error = Self.failure { () throws(SystemError) in try Files.synchronize(directory) }
        failure = error ?? failure
      }
      complain(failure)
    }

    private final class OpenFile {
      let file: FileDescriptor
      init(_ file: consuming FileDescriptor) { self.file = file }
    }

    /// Starts the writing of every file before it waits for the first one.
    private func keep(_ paths: ArraySlice<String>) -> SystemError? {
      var failure: SystemError?
      var files: [(path: String, file: OpenFile)] = []
      for path in paths {
        let error = Self.failure { () throws(SystemError) in
          let file = OpenFile(try Files.open(path, [.read, .noFollow, .nonBlocking]))
          // Where it cannot be begun, fdatasync(2) does all of it.
          _ = cl_begin_writing(file.file.rawValue)
          files.append((path, file))
        }
        failure = error ?? failure
      }
      for (path, file) in files {
        let number = file.file.rawValue
        let error = Self.failure { () throws(SystemError) in
          _ = try retrying("fdatasync", path) { fdatasync(number) }
        }
        failure = error ?? failure
      }
      return failure
    }

    /// The error of a body.
    ///
    /// A file that has gone is no error, nor is a file system that keeps nothing.
    private static func failure(of body: () throws(SystemError) -> Void) -> SystemError? {
      do throws(SystemError) {
        try body()
        return nil
      } catch {
        switch error.errno {
        case .noEntry, .notDirectory, .invalid, .notSupported, .readOnly: return nil
        default: return error
        }
      }
    }

    private func complain(_ error: SystemError?) {
      let text = error.map(\.description) ?? ""
      let report = state.withLock { state in
        defer { state.complaint = text }
        return state.complaint == text ? nil : state.report
      }
      if let error { report?(error) }
    }

    private static func directory(of path: String) -> String {
      guard let slash = path.utf8.lastIndex(of: 0x2F) else { return "." }
      return slash == path.startIndex ? "/" : String(path[..<slash])
    }
  }
#endif
