import CNI
import Testing

@Suite("PathRule")
struct PathRuleTests {
  private static let rule = PathRule(["/var/lib/cni", "/run/openvswitch/"])

  @Test(
    "a path in one of the directories is allowed",
    arguments: [
      "/var/lib/cni", "/var/lib/cni/networks/pods", "/var/lib//cni/./x/",
      "/run/openvswitch/db.sock", "/var/run/openvswitch/db.sock",
    ])
  func allowed(path: String) { #expect(Self.rule.allows(path)) }

  @Test(
    "a path that leads elsewhere, goes up or is not absolute is refused",
    arguments: [
      "", "/", "var/lib/cni", "/var/lib/cnix", "/var/lib", "/var/lib/cni/../../../etc",
      "/var/lib/cni/..", "/run/../run/openvswitch/x", "/etc/ld.so.preload", "/var/lib/cni\u{0}/x",
      "/run/openvswitch2", "/var/lib/CNI/x",
    ])
  func refused(path: String) {
    #expect(!Self.rule.allows(path))
    do throws(CNIError) {
      try Self.rule.check(path, "ipam.dataDir")
      Issue.record("allowed")
    } catch {
      #expect(error.code == .invalidConfiguration)
      #expect(
        error.message
          == "ipam.dataDir: \(goQuoted(path)) is outside of /var/lib/cni, /run/openvswitch/")
      #expect(error.details.contains("allowedPaths"))
    }
  }

  @Test("without directories nothing is allowed")
  func none() { #expect(!PathRule([]).allows("/")) }
}
