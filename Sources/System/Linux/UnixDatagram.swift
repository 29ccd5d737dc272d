// Not for the shim: only the daemon has a service manager.
#if !hasFeature(Embedded)
  import CLinux

  /// A socket that sends single messages, unix(7) with SOCK_DGRAM; it never waits.
  public struct UnixDatagram: ~Copyable, Sendable {
    private let socket: FileDescriptor

    /// Creates one without an address of its own.
    public init() throws(SystemError) {
      socket = FileDescriptor(
        adopting: try retrying("socket", "") { CLinux.socket(AF_UNIX, cl_SOCK_DGRAM, 0) })
    }

    /// Sends a message, sendto(2).
    ///
    /// - Parameters:
    ///   - bytes: the message.
    ///   - address: a path, or a name in the abstract namespace after an `@`.
    /// - Throws: the error of sendto(2); `again` when the receiver's queue is full.
    public func send(_ bytes: [UInt8], to address: String) throws(SystemError) {
      var name = Array(address.utf8)
      let isAbstract = name.first == UInt8(ascii: "@")
      if isAbstract { name[0] = 0 }
      // The last byte of a path stays zero, as the kernel wants it.
      let room = UnixSocket.maximumPathLength
      guard name.count > 1, name.count <= room, !name.dropFirst().contains(0) else {
        throw SystemError("send", address, .invalid)
      }
      var target = sockaddr_un()
      target.sun_family = sa_family_t(AF_UNIX)
      unsafe withUnsafeMutableBytes(of: &target.sun_path) { unsafe $0.copyBytes(from: name) }
      let head = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: target.sun_path)
      // An abstract name ends with the address; its zeros would count.
      let length = socklen_t(
        isAbstract ? head + name.count : MemoryLayout<sockaddr_un>.size)
      let number = socket.rawValue
      _ = try retrying("send", address) {
        unsafe withUnsafePointer(to: &target) { pointer in
          unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            unsafe bytes.withUnsafeBytes { message in
              unsafe sendto(
                number, message.baseAddress, message.count, cl_MSG_NOSIGNAL, generic, length)
            }
          }
        }
      }
    }
  }
#endif
