import JSON
import PluginKit
import Testing

@testable import Daemon

@Suite("Paths that root trusts")
struct TrustedPathsTests {
  @Test("allowedPaths, and what plugins and overrides give to networks, may be used by networks")
  func collected() throws {
    let text = #"""
      {"allowedPaths": ["/a"], "overrides": {"ipam": {"dataDir": "/b", "list": ["/c", "d", 1]}},
       "plugins": {"ovs": {"socket_file": "unix:/e/db.sock"}, "macvlan": {"master": "eth0"}}}
      """#
    let configuration = try Configuration(parsing: Array(text.utf8))
    #expect(configuration.trustedPaths == ["/a", "/b", "/c", "/e/db.sock"])
  }

  @Test("a reload changes what networks may name")
  func reloaded() throws {
    let daemon = try TestDaemon([RecordingPlugin()])
    let paths = daemon.server.registry.host.paths
    #expect(paths.current == [])
    try daemon.reload { $0.allowedPaths = ["/a"] }
    #expect(paths.current == ["/a"])
    try daemon.reload { $0.overrides = JSONObject([("x", "/b")]) }
    #expect(paths.current == ["/a", "/b"])
  }
}
