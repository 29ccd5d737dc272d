// Not for the shim: see OSThread.
#if !hasFeature(Embedded)
  import CLinux

  /// Other processes, found by what /proc says of them.
  public enum Processes {
    /// Kills every process of root that was started with a certain line in its environment, and the
    /// process groups of those.
    ///
    /// For children that a process which was killed has left behind. A group ends as a whole,
    /// also those in it that have cleaned their environment. The calling process and its group
    /// are never touched.
    ///
    /// What other users' processes contain is not looked at, and of each environment only the
    /// first 4 KiB: whoever starts programs puts the line first.
    ///
    /// - Parameters:
    ///   - deadline: when to give up looking, and waiting for their end.
    ///   - isWanted: whether a whole line of an environment, `KEY=value`, is such a line.
    /// - Returns: how many processes have ended.
    /// - Throws: `timedOut` or `cancelled` when the time is over or one has not ended; the error of
    ///   reading /proc or of pidfd_open(2).
    @discardableResult
    public static func kill(
      by deadline: Deadline, whereEnvironmentHas isWanted: (ArraySlice<UInt8>) -> Bool
    ) throws(SystemError) -> Int {
      var count = 0
      while true {
        // It repeats until there is none, because one of them may have started another meanwhile.
        let found = try marked(deadline, isWanted)
        if found.isEmpty { return count }
        let groups = Set(found.map(\.group)).subtracting([getpgrp(), 0])
        let doomed = found + (try members(of: groups, without: Set(found.map(\.pid)), deadline))
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

    private static func marked(
      _ deadline: Deadline, _ isWanted: (ArraySlice<UInt8>) -> Bool
    ) throws(SystemError) -> [Found] {
      try matching(deadline) { pid throws(SystemError) in
        guard try isRoots(pid), try environmentHas(isWanted, pid) else { return nil }
        return try group(of: pid)
      }
    }

    private static func members(
      of groups: Set<Int32>, without known: Set<Int32>, _ deadline: Deadline
    ) throws(SystemError) -> [Found] {
      try matching(deadline) { pid throws(SystemError) in
        guard !known.contains(pid), let group = try group(of: pid), groups.contains(group) else {
          return nil
        }
        return group
      }
    }

    /// The processes for which a test gives a group before and after their pidfd was opened.
    private static func matching(
      _ deadline: Deadline, _ test: (Int32) throws(SystemError) -> Int32?
    ) throws(SystemError) -> [Found] {
      var found: [Found] = []
      for name in try Files.list("/proc") {
        guard let pid = Int32(name), pid != Process.pid else { continue }
        try deadline.check("look at", "process \(pid)")
        guard try test(pid) != nil else { continue }
        let number = cl_pidfd_open(pid)
        if number < 0 {
          let errno = Errno.current
          if errno == .noProcess { continue }
          throw SystemError("pidfd_open", name, errno)
        }
        let handle = FileDescriptor(adopting: number)
        guard let group = try test(pid) else { continue }
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
      guard pid > 0, let words = try? status(of: pid), words.count > 1, words[1] != "0",
        let name = try? Files.read("/proc/\(words[1])/comm", limit: 256)
      else { return nil }
      return String(decoding: name.last == 0x0A ? name.dropLast() : name[...], as: UTF8.self)
    }

    /// Whether root has started a process, real and effective.
    ///
    /// The owner of its directory in /proc does not tell: that of a process which cannot be dumped
    /// is root's, whoever has started it.
    private static func isRoots(_ pid: Int32) throws(SystemError) -> Bool {
      let bytes = try beginning(of: "status", pid)
      let lines = bytes.split(separator: 0x0A)
      guard let line = lines.first(where: { $0.starts(with: "Uid:".utf8) }) else { return false }
      let words = line.split { $0 == 0x09 || $0 == 0x20 }
      return words.count > 2 && words[1...2].allSatisfy { $0.elementsEqual("0".utf8) }
    }

    /// How much of a file is read.
    private static let room = 4096

    /// The first bytes of a file of a process; none if it has gone or may not be read.
    ///
    /// - Throws: an error that says nothing about the process.
    private static func beginning(
      of file: String, _ pid: Int32
    ) throws(SystemError) -> [UInt8] {
      var bytes: [UInt8] = []
      do throws(SystemError) {
        let file = try Files.open("/proc/\(pid)/\(file)", [.read, .nonBlocking])
        _ = try Descriptor.read(file.rawValue, into: &bytes, limit: room)
      } catch {
        // What another process's memory answers to is EIO too.
        if error.isTransient, error.errno != .inputOutput { throw error }
      }
      return bytes
    }

    /// Whether a process was started with such a line; one that has ended has none.
    private static func environmentHas(
      _ isWanted: (ArraySlice<UInt8>) -> Bool, _ pid: Int32
    ) throws(SystemError) -> Bool {
      let bytes = try beginning(of: "environ", pid)
      // A line that is cut off at the end is none.
      let whole = bytes.count < room ? bytes[...] : bytes[..<(bytes.lastIndex(of: 0) ?? 0)]
      return whole.split(separator: 0).contains(where: isWanted)
    }

    /// The process group of a process that runs; nil for one that has ended, waited for or not.
    private static func group(of pid: Int32) throws(SystemError) -> Int32? {
      guard let words = try status(of: pid), words.count > 2, words[0] != "Z", words[0] != "X"
      else { return nil }
      return Int32(words[2])
    }

    /// What `/proc/<pid>/stat` says behind the name: state, parent, group and so on; nil for
    /// one that is gone.
    private static func status(of pid: Int32) throws(SystemError) -> [String]? {
      let bytes = try beginning(of: "stat", pid)
      // The name before it may hold anything, parentheses too.
      guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
      return bytes[end...].dropFirst().split(separator: UInt8(ascii: " ")).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
  }
#endif
