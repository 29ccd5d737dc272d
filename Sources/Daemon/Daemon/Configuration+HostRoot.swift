import Linux
import Records

extension Configuration {
  /// Opens `hostRoot` and tries out that programs can be started below it; nil without the key.
  ///
  /// - Throws: why not, and what to do.
  func openHostRoot() throws(StartError) -> RootDirectory? {
    guard let hostRoot else { return nil }
    do throws(SystemError) {
      let root = try RootDirectory(hostRoot)
      try root.check()
      return root
    } catch {
      throw StartError(
        "hostRoot: \(error): \(Self.advice(error.errno))", isLasting: !error.isTransient)
    }
  }

  private static func advice(_ errno: Errno) -> String {
    switch errno {
    case .notPermitted:
      "cnid needs the capability CAP_SYS_CHROOT and the system calls chroot and openat2"
    case .notImplemented: "cnid needs Linux 5.6 or later for this key"
    default: "mount the host's file system there, or take the key out of cnid.json"
    }
  }
}
