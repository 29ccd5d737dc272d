@testable import Daemon
import Testing

@Suite("Spool directories")
struct SpoolDirectoriesTests {
  @Test(
    "there is a spool beside each socket that shims use",
    arguments: [
      ([], ["/run/cnid/spool"]), (["/run/multus/multus.sock"], ["/run/cnid/spool"]),
      (["/a/cnid.sock", "/b/x.sock"], ["/run/cnid/spool", "/a/spool"]),
      (["/run/cnid/cnid.sock", "/cnid.sock"], ["/run/cnid/spool", "/spool"]),
    ])
  func sockets(sockets: [String], directories: [String]) {
    var configuration = Configuration()
    configuration.sockets = sockets
    #expect(configuration.spoolDirectories == directories)
  }
}
