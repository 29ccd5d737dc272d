import Glibc
public import Linux

extension Listener {
  /// Whether a descriptor is a listening socket, SO_ACCEPTCONN.
  public static func isListening(_ socket: borrowing FileDescriptor) -> Bool {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(socket.rawValue, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0
      && value != 0
  }
}
