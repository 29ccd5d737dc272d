import Testing

/// A system call that the daemon makes, and how it may fail.
package struct Seam: Sendable, CustomTestStringConvertible {
  /// Its name.
  package let call: String
  /// The errors with which it fails in turn.
  package let errors: [String]

  /// Names a call and its errors.
  package init(_ call: String, _ errors: String...) { (self.call, self.errors) = (call, errors) }

  package var testDescription: String { call }

  /// Every seam; one that no call of the daemon reaches fails its test.
  ///
  /// close(2) is none: strace would keep the descriptor open, which no kernel does.
  package static let all = [
    Seam("openat", "EMFILE", "ENOMEM", "EINTR", "ENOSPC"),
    Seam("read", "EIO", "EINTR", "ENOMEM"),
    Seam("write", "ENOSPC", "EINTR", "EIO"),
    Seam("renameat2", "ENOSPC", "EIO"),
    Seam("link", "ENOSPC", "ENOMEM"),
    Seam("unlink", "EIO", "ENOMEM"),
    Seam("flock", "ENOLCK", "EINTR", "EAGAIN"),
    Seam("newfstatat", "ENOMEM", "EIO"),
    Seam("utimensat", "EIO", "ENOMEM"),
    Seam("getdents64", "EIO", "ENOMEM"),
    Seam("ioctl", "EINTR", "ENOMEM"),
    Seam("socket", "EMFILE", "ENOMEM", "ENOBUFS"),
    Seam("bind", "ENOMEM"),
    Seam("setsockopt", "ENOMEM", "ENOBUFS"),
    Seam("getsockopt", "ENOMEM", "ENOBUFS"),
    Seam("sendto", "ENOBUFS", "ENOMEM", "EINTR", "EAGAIN"),
    Seam("recvfrom", "ENOBUFS", "ENOMEM", "EINTR", "EAGAIN"),
    Seam("poll", "EINTR", "ENOMEM"),
    Seam("setns", "ENOMEM", "EPERM"),
    Seam("clone3", "EAGAIN", "ENOMEM"),
    Seam("eventfd2", "EMFILE", "ENOMEM"),
    Seam("getrandom", "EINTR", "EAGAIN"),
    Seam("accept4", "EMFILE", "ENOMEM", "EINTR", "ECONNABORTED"),
    Seam("epoll_ctl", "ENOMEM", "ENOSPC"),
    Seam("epoll_wait", "EINTR"),
  ]
}
