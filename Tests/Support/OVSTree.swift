public import Testing

/// Debian's Open vSwitch and OVN, unpacked and not installed: scripts/test sets `CNI_OVS`
/// to the directory.
public enum OVSTree {
  /// The directory; nil without one.
  public static let directory = Program.environment["CNI_OVS"]

  /// The path of a file in it, such as `usr/bin/ovs-vsctl`.
  public static func file(_ path: String) throws -> String {
    guard let directory else { throw TestError("CNI_OVS is not set") }
    return "\(directory)/\(path)"
  }

  /// The environment of its programs: everything that they would look for on the machine is
  /// in one directory.
  ///
  /// - Parameter directory: where sockets, process ids, logs and databases are.
  /// - Returns: the whole environment.
  /// - Throws: when there is no tree.
  static func environment(_ directory: String) throws -> [String: String] {
    [
      "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
      "LD_LIBRARY_PATH": try file("usr/lib/x86_64-linux-gnu"),
      "OVS_RUNDIR": directory, "OVS_LOGDIR": directory, "OVS_DBDIR": directory,
      "OVS_SYSCONFDIR": directory, "OVN_RUNDIR": directory, "OVN_LOGDIR": directory,
      "OVN_DBDIR": directory, "OVN_SYSCONFDIR": directory,
      "OVS_PKGDATADIR": try file("usr/share/openvswitch"),
      "OVN_PKGDATADIR": try file("usr/share/ovn"),
    ]
  }
}

extension Trait where Self == ConditionTrait {
  /// Leaves a test out where there is no Open vSwitch to test with.
  public static var openVSwitch: Self {
    .enabled(if: OVSTree.directory != nil, "CNI_OVS is not set: no Open vSwitch to test with")
  }
}
