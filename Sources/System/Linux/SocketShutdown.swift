import CLinux

extension Descriptor {
  /// Tells the other side of a socket that nothing more will be written, shutdown(SHUT_WR).
  ///
  /// Reading goes on, so what the other side is still sending does not reset the connection.
  public static func endWriting(_ socket: Int32) throws(SystemError) {
    _ = try retrying("shutdown", "") { CLinux.shutdown(socket, Int32(SHUT_WR)) }
  }
}
