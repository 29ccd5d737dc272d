import CLinux

/// A system call's error number, errno(3).
public struct Errno: Error, RawRepresentable, Equatable, Hashable, Sendable {
  /// The number, as in `<errno.h>`.
  public let rawValue: Int32

  /// Wraps a number.
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The calling thread's errno; read it before anything else can run.
  static var current: Errno { Errno(rawValue: cl_errno()) }

  /// The operation is not permitted.
  public static let notPermitted = Errno(rawValue: EPERM)
  /// A file or directory does not exist.
  public static let noEntry = Errno(rawValue: ENOENT)
  /// The call was interrupted by a signal.
  public static let interrupted = Errno(rawValue: EINTR)
  /// An input or output error.
  public static let inputOutput = Errno(rawValue: EIO)
  /// The argument list, or an answer, is too long.
  public static let tooBig = Errno(rawValue: E2BIG)
  /// Trying again may help.
  public static let again = Errno(rawValue: EAGAIN)
  /// Out of memory.
  public static let noMemory = Errno(rawValue: ENOMEM)
  /// Permission denied.
  public static let accessDenied = Errno(rawValue: EACCES)
  /// The thing is in use.
  public static let busy = Errno(rawValue: EBUSY)
  /// The thing exists already.
  public static let exists = Errno(rawValue: EEXIST)
  /// Another file system.
  public static let crossDevice = Errno(rawValue: EXDEV)
  /// There is no such device.
  public static let noDevice = Errno(rawValue: ENODEV)
  /// Not a directory.
  public static let notDirectory = Errno(rawValue: ENOTDIR)
  /// The file is a directory.
  public static let isDirectory = Errno(rawValue: EISDIR)
  /// Too many symbolic links, or one where none may be.
  public static let loop = Errno(rawValue: ELOOP)
  /// An argument is invalid.
  public static let invalid = Errno(rawValue: EINVAL)
  /// The process has too many open files.
  public static let tooManyFiles = Errno(rawValue: EMFILE)
  /// The system has too many open files.
  public static let tooManyFilesInSystem = Errno(rawValue: ENFILE)
  /// A program's file is open for writing.
  public static let textBusy = Errno(rawValue: ETXTBSY)
  /// No space is left on the device.
  public static let noSpace = Errno(rawValue: ENOSPC)
  /// The file system is read-only.
  public static let readOnly = Errno(rawValue: EROFS)
  /// The other end of a pipe or socket is closed.
  public static let brokenPipe = Errno(rawValue: EPIPE)
  /// A name is too long.
  public static let nameTooLong = Errno(rawValue: ENAMETOOLONG)
  /// A directory is not empty.
  public static let notEmpty = Errno(rawValue: ENOTEMPTY)
  /// A message is too long.
  public static let messageSize = Errno(rawValue: EMSGSIZE)
  /// The address is in use.
  public static let addressInUse = Errno(rawValue: EADDRINUSE)
  /// There is no way to a network.
  public static let networkUnreachable = Errno(rawValue: ENETUNREACH)
  /// There is no way to a host.
  public static let hostUnreachable = Errno(rawValue: EHOSTUNREACH)
  /// The connection was reset by the other side.
  public static let connectionReset = Errno(rawValue: ECONNRESET)
  /// The kernel ran out of buffer space; on a netlink socket, messages were lost.
  public static let noBuffers = Errno(rawValue: ENOBUFS)
  /// The connection was refused.
  public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
  /// A connection is being made.
  public static let inProgress = Errno(rawValue: EINPROGRESS)
  /// The time is over; what every wait in this module throws when its deadline has passed.
  public static let timedOut = Errno(rawValue: ETIMEDOUT)
  /// The wait was cancelled; what every wait throws when its `Cancellation` was used.
  public static let cancelled = Errno(rawValue: ECANCELED)
  /// There is nothing behind a special file; also what opening a socket's file gives.
  public static let noDeviceOrAddress = Errno(rawValue: ENXIO)
  /// There is no such process.
  public static let noProcess = Errno(rawValue: ESRCH)
  /// The kernel does not have the system call.
  public static let notImplemented = Errno(rawValue: ENOSYS)
  /// The operation is not supported.
  public static let notSupported = Errno(rawValue: EOPNOTSUPP)
  /// The address is not there.
  public static let addressNotAvailable = Errno(rawValue: EADDRNOTAVAIL)
}

extension Errno {
  /// Whether there are no descriptors left, here or in the whole system: nobody's input is at
  /// fault, and trying again may help.
  public var isExhaustion: Bool { self == .tooManyFiles || self == .tooManyFilesInSystem }
}

extension SystemError {
  /// Whether the moment was at fault and not the file: descriptors or memory were short, or the
  /// disk did not answer.
  public var isTransient: Bool {
    errno.isExhaustion || [.noMemory, .inputOutput, .noBuffers].contains(errno)
  }
}

extension Errno: CustomStringConvertible {
  /// The number's name, `ENOENT`; `errno 4711` for a number without one.
  public var name: String {
    guard let text = unsafe strerrorname_np(rawValue) else { return "errno \(rawValue)" }
    return unsafe String(cString: text)
  }

  /// The library's text and the name: `No such file or directory (ENOENT)`.
  public var description: String {
    guard let text = unsafe strerror(rawValue) else { return name }
    return "\(unsafe String(cString: text)) (\(name))"
  }
}

/// A system call that failed: what was done, to which object, and why.
///
/// Its description is one line for people: `open /run/x: Permission denied (EACCES)`.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What was done, in a word: `open`, `connect`.
  public let operation: String
  /// What it was done to: a path, an interface, an address; may be empty.
  public let object: String
  /// Why it failed.
  public let errno: Errno

  /// Creates an error.
  public init(_ operation: String, _ object: String, _ errno: Errno) {
    self.operation = operation
    self.object = object
    self.errno = errno
  }

  /// `operation object: text (NAME)`.
  public var description: String {
    object.isEmpty ? "\(operation): \(errno)" : "\(operation) \(object): \(errno)"
  }
}

/// Runs a system call that returns -1 on failure, again when a signal interrupted it.
///
/// - Parameters:
///   - operation: the word for the error.
///   - object: the object for the error; only made into a string on failure.
///   - call: the call.
/// - Throws: what errno(3) says, other than EINTR.
/// - Returns: the call's result, which is not -1.
func retrying<R: FixedWidthInteger & SignedInteger>(
  _ operation: String, _ object: @autoclosure () -> String, _ call: () -> R
) throws(SystemError) -> R {
  while true {
    let result = call()
    if result != -1 { return result }
    let errno = Errno.current
    if errno != .interrupted {
      throw SystemError(operation, object(), errno)
    }
  }
}
