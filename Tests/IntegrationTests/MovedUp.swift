import Glibc
import Linux

extension FileDescriptor {
  /// The same with a high number, for a test that has hundreds: a pod's closed path is a low number
  /// here, which must lead nowhere.
  consuming func movedUp() -> FileDescriptor {
    let number = fcntl(rawValue, F_DUPFD_CLOEXEC, 9_500)
    return number < 0 ? self : FileDescriptor(adopting: number)
  }
}
