import PluginBench
import TestSupport
import Testing

/// Every system call of the shipped daemon fails in turn, once at each place where it is made.
@Suite(
  .daemonLog,
  .shippedPrograms("a sanitizer makes system calls of its own, and does not bear to fail"))
struct FaultTests {
  @Test(
    "A system call fails: an honest answer, nothing left, and the daemon is as before",
    arguments: Seam.all)
  func systemCall(seam: Seam) async throws { try await PluginBench<MacvlanScene>.fail(seam) }

  @Test(
    "The same where the daemon talks to Open vSwitch", .openVSwitch,
    arguments: Seam.all.filter { ofOpenVSwitch.contains($0.call) })
  func systemCallOfOVS(seam: Seam) async throws { try await PluginBench<OVSScene>.fail(seam) }

  @Test("The same where the daemon talks to a vRouter agent", arguments: ofVRouter)
  func systemCallOfVRouter(seam: Seam) async throws {
    try await PluginBench<VRouterScene>.fail(seam, situation: "quick")
  }

  @Test(
    "The same where a set has parts", arguments: Seam.all)
  func systemCallOfSets(seam: Seam) async throws {
    try await PluginBench<DelegateScene>.fail(seam, situation: "built in")
  }

  /// The calls that a connection to the database, links of another kind and their settings need.
  private static let ofOpenVSwitch = [
    "read", "ioctl", "socket", "setsockopt", "sendto", "recvfrom", "poll", "clone3", "eventfd2",
  ]

  /// What connections to the agent, its port files and their directories need.
  private static let ofVRouter =
    [
      Seam("connect", "ENETUNREACH", "ETIMEDOUT", "EINTR"), Seam("fsync", "EIO", "ENOSPC", "EINTR"),
      Seam("mkdir", "ENOSPC", "EROFS"), Seam("chmod", "EPERM", "EIO"),
      Seam("rename", "ENOSPC", "EXDEV"), Seam("rmdir", "EBUSY", "EIO"),
    ]
    + Seam.all.filter {
      [
        "openat", "write", "unlink", "newfstatat", "getdents64", "socket", "getsockopt", "sendto",
        "recvfrom", "poll",
      ].contains($0.call)
    }
}
