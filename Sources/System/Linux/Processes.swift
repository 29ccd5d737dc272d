// Not for the shim: see OSThread.
#if !hasFeature(Embedded)
  import CLinux

  /// Other processes, found by what /proc says of them.
  public enum Processes {
    /// Kills every process that was started with a line in its environment, and the process
    /// groups of those.
    ///
    /// For children that a process which was killed has left behind. A group ends as a whole,
    /// also those in it that have cleaned their environment. The calling process and its group
    /// are never touched.
    ///
    /// - Parameters:
    ///   - line: `KEY=value`, exactly.
    ///   - deadline: when to give up waiting for their end.
    /// - Returns: how many processes have ended.
    /// - Throws: `timedOut` or `cancelled` when one has not ended; the error of reading /proc or
    ///   of pidfd_open(2).
    @discardableResult
    public static func kill(
      withEnvironment line: String, deadline: Deadline
    ) throws(SystemError) -> Int {
      var count = 0
      while true {
        // It repeats until there is none, because one of them may have started another meanwhile.
        let found = try marked(Array(line.utf8))
        if found.isEmpty { return count }
        let groups = Set(found.map(\.group)).subtracting([getpgrp(), 0])
        let doomed = found + (try members(of: groups, without: Set(found.map(\.pid))))
        for group in groups { _ = CLinux.kill(-group, SIGKILL) }
        for process in doomed { process.kill() }
        for process in doomed { try process.wait(deadline) }
        count += doomed.count
      }
    }

    /// A process that is held by its pidfd, so that its number cannot become another's unseen.
    private final class Found {
      let pid: Int32
      let group: Int32
      private let handle: FileDescriptor

      init(pid: Int32, group: Int32, handle: consuming FileDescriptor) {
        self.pid = pid
        self.group = group
        self.handle = handle
      }

      func kill() { _ = cl_pidfd_send_signal(handle.rawValue, SIGKILL) }

      func wait(_ deadline: Deadline) throws(SystemError) {
        try deadline.wait(handle.rawValue, for: .read, "wait for the end of", "process \(pid)")
      }
    }

    private static func marked(_ line: [UInt8]) throws(SystemError) -> [Found] {
      try matching { pid in environmentHas(line, pid) ? group(of: pid) : nil }
    }

    private static func members(
      of groups: Set<Int32>, without known: Set<Int32>
    ) throws(SystemError) -> [Found] {
      try matching { pid in
        guard !known.contains(pid), let group = group(of: pid), groups.contains(group) else {
          return nil
        }
        return group
      }
    }

    /// The processes for which a test gives a group before and after their pidfd was opened.
    private static func matching(_ test: (Int32) -> Int32?) throws(SystemError) -> [Found] {
      var found: [Found] = []
      for name in try Files.list("/proc") {
        guard let pid = Int32(name), pid != Process.pid, test(pid) != nil else { continue }
        let number = cl_pidfd_open(pid)
        if number < 0 {
          let errno = Errno.current
          if errno == .noProcess { continue }
          throw SystemError("pidfd_open", name, errno)
        }
        let handle = FileDescriptor(adopting: number)
        guard let group = test(pid) else { continue }
        found.append(Found(pid: pid, group: group, handle: handle))
      }
      return found
    }

    /// The name of the process that started another one, or that it was left to: its `comm`,
    /// at most 15 bytes.
    ///
    /// - Parameter pid: the other one.
    /// - Returns: the name; nil where one of the two is gone or not visible from here.
    public static func nameOfParent(of pid: Int32) -> String? {
      guard pid > 0, let words = status(of: pid), words.count > 1, words[1] != "0",
        let name = try? Files.read("/proc/\(words[1])/comm", limit: 256)
      else { return nil }
      return String(decoding: name.last == 0x0A ? name.dropLast() : name[...], as: UTF8.self)
    }

    /// Whether a process was started with a line; one that has ended has none.
    private static func environmentHas(_ line: [UInt8], _ pid: Int32) -> Bool {
      guard let bytes = try? Files.read("/proc/\(pid)/environ") else { return false }
      return bytes.split(separator: 0).contains { $0.elementsEqual(line) }
    }

    /// The process group of a process that runs; nil for one that has ended, waited for or not.
    private static func group(of pid: Int32) -> Int32? {
      guard let words = status(of: pid), words.count > 2, words[0] != "Z", words[0] != "X" else {
        return nil
      }
      return Int32(words[2])
    }

    /// What `/proc/<pid>/stat` says behind the name: state, parent, group and so on; nil for
    /// one that is gone.
    private static func status(of pid: Int32) -> [String]? {
      guard let bytes = try? Files.read("/proc/\(pid)/stat"),
        // The name before it may hold anything, parentheses too.
        let end = bytes.lastIndex(of: UInt8(ascii: ")"))
      else { return nil }
      return bytes[end...].dropFirst().split(separator: UInt8(ascii: " ")).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
  }
#endif
