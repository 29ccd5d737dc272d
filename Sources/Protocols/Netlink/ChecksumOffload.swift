import CLinux
public import Linux

// By ethtool's ioctl, which any socket of the link's namespace takes: another protocol's
// socket is not needed.

extension NetlinkSocket {
  /// Whether a link's driver, and not the kernel, computes the checksums of what the link
  /// sends (`ethtool -k`).
  ///
  /// A veth link's driver leaves them out altogether, because nothing gets lost between its
  /// ends; whoever takes the packets from the other end as they are, as a userspace switch does,
  /// then drops them.
  ///
  /// - Parameter link: the link's name.
  /// - Returns: whether it does for any protocol.
  /// - Throws: `ENODEV` if there is no such link.
  public func transmitChecksumOffload(of link: String) throws(NetlinkError) -> Bool {
    try ethtool("read checksum offload of", link, ETHTOOL_GTXCSUM) != 0
  }

  /// Makes a link's driver compute the checksums of what the link sends, or the kernel
  /// (`ethtool -K LINK tx on|off`).
  ///
  /// What needs it, such as segmentation by the driver, goes and comes with it. It stays when the
  /// link changes its name or its namespace. The kernel may wait for its configuration lock, which
  /// no deadline ends.
  ///
  /// - Parameters:
  ///   - isOn: whether the driver does.
  ///   - link: the link's name.
  ///   - permit: the proof that the undo was recorded.
  /// - Throws: `ENODEV` if there is no such link, `EOPNOTSUPP` if its driver has no choice.
  public func setTransmitChecksumOffload(
    _ isOn: Bool, of link: String, _ permit: borrowing Permit
  ) throws(NetlinkError) {
    _ = try ethtool("switch checksum offload of", link, ETHTOOL_STXCSUM, isOn ? 1 : 0)
  }

  private func ethtool(
    _ operation: String, _ link: String, _ command: Int32, _ value: UInt32 = 0
  ) throws(NetlinkError) -> UInt32 {
    // The kernel cuts what no link is called: after 15 bytes, and before a colon.
    guard (1...15).contains(link.utf8.count), link.utf8.allSatisfy({ $0 != 0 && $0 != 0x3A })
    else { throw NetlinkError(operation, link, .noDevice) }
    do throws(Errno) {
      return try Kernel.ethtool(descriptor.rawValue, command, link: link, value: value)
    } catch {
      throw NetlinkError(operation, link, error)
    }
  }
}
