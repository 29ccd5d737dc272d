import JSON
public import Linux

extension OVSDBClient {
  /// Whether another client of the server holds a lock, RFC 7047 §4.1.8.
  ///
  /// ovs-vswitchd holds `ovs_vswitchd` as long as it is connected. To ask means to try to take the
  /// lock. The request that gives it back is sent together with the first one. So neither a call
  /// that gives up nor a call of another thread can come between.
  ///
  /// - Parameters:
  ///   - name: the lock's name.
  ///   - deadline: for everything, connecting included.
  /// - Returns: whether it is held.
  /// - Throws: as `transact`.
  public func isLockHeld(_ name: String, deadline: Deadline) throws(OVSDBError) -> Bool {
    let parameter = JSONValue.string(name)
    // Also a request that waits in the lock's queue is taken back.
    let answer = try session.call(
      "lock", [parameter], andThen: ("unlock", [parameter]), deadline: deadline)
    guard case .result(let json) = answer, let isOurs = json["locked"]?.bool else {
      throw .malformed(address, "no word on lock \(name)")
    }
    return !isOurs
  }
}
