import CLinux
import Glibc
import Linux

/// File systems that exist for one thread of a test.
public enum TestMounts {
  private static let newMountNamespace: Int32 = 0x20000

  /// Mounts a file system that has room for two files of a page; only the calling thread sees it,
  /// and it goes with it.
  public static func mountTwoPages(on path: String) throws {
    try becomePrivate()
    try mount("none", path, "tmpfs", 0, "size=8k,mode=0755")
  }

  /// Mounts a file on another, so that this one cannot be removed; only the calling thread sees it.
  public static func mount(_ file: String, on path: String) throws {
    try becomePrivate()
    try mount(file, path, nil, UInt(MS_BIND), nil)
  }

  static func becomePrivate() throws {
    guard CLinux.unshare(newMountNamespace) == 0 else { throw TestError("unshare: needs root") }
    // Without this the mount would spread to the machine.
    try mount("none", "/", nil, UInt(MS_REC) | UInt(MS_PRIVATE), nil)
  }

  /// Makes it read-only.
  public static func makeReadOnly(_ path: String) throws {
    let deadline = Deadline.after(seconds: 20)
    while true {
      do {
        return try mount("none", path, "tmpfs", UInt(MS_REMOUNT) | UInt(MS_RDONLY), nil)
      } catch {
        // A child that another test has just forked holds our open files until it executes its
        // program.
        if deadline.isOver { throw error }
        Clock.pause(milliseconds: 5)
      }
    }
  }

  private static func mount(
    _ source: String, _ target: String, _ type: String?, _ flags: UInt, _ options: String?
  ) throws {
    let code =
      if let options {
        unsafe options.withCString { unsafe Glibc.mount(source, target, type, flags, $0) }
      } else {
        unsafe Glibc.mount(source, target, type, flags, nil)
      }
    if code != 0 { throw TestError("cannot mount \(target)") }
  }
}
