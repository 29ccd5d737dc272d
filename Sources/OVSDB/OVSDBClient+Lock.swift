import JSON
public import Linux

extension OVSDBClient {
  /// Whether another client of the server holds a lock, RFC 7047 §4.1.8.
  ///
  /// ovs-vswitchd holds `ovs_vswitchd` as long as it is connected. The question is a try to take the lock, which is given
  /// back at once.
  ///
  /// - Parameters:
  ///   - name: the lock's name.
  ///   - deadline: for everything, connecting included.
  /// - Returns: whether it is held.
  /// - Throws: as `transact`.
  public func isLockHeld(_ name: String, deadline: Deadline) throws(OVSDBError) -> Bool {
    let answer = try session.call("lock", [.string(name)], deadline: deadline)
    guard case .result(let json) = answer, let isOurs = json["locked"]?.bool else {
      throw .malformed(address, "no word on lock \(name)")
    }
    // Also a request that waits in the lock's queue is taken back.
    _ = try session.call("unlock", [.string(name)], deadline: deadline)
    return !isOurs
  }
}
