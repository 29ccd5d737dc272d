import Glibc
public import Linux

extension UnixSocket {
  /// Leaves a socket's file that nobody serves.
  ///
  /// Closing is not enough: a program that is started at this moment has a copy of the listener.
  public static func leaveDead(_ path: String) throws {
    let listener = try listen(path)
    guard Glibc.shutdown(listener.rawValue, Int32(SHUT_RDWR)) == 0 else {
      throw TestError("shutdown \(path): \(errno)")
    }
  }
}
