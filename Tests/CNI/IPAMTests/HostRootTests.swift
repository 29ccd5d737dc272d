import CNI
import IPAM
import JSON
@_spi(Journal) import Linux
import TestSupport
import Testing

@Suite("Address management with the host elsewhere")
struct HostRootTests {
  private let leases: Leases

  init() throws { leases = try Leases() }

  private func call(_ ipam: String, _ test: TestRoot) throws -> IPAMCall {
    var call = try leases.call(leases.configuration(ipam))
    call.hostRoot = test.root
    call.searchPath = ["/opt/cni/bin"]
    return call
  }

  private func add(_ call: IPAMCall) async throws -> CNIResult {
    try await onThread {
      guard let driver = IPAMDriver(for: call) else { throw TestError("no driver") }
      try driver.prepare()
      return try driver.add(Permit())
    }
  }

  @Test("resolvConf is the host's, leases are in the daemon's own directory")
  func resolvConf() async throws {
    let test = try await onThread { try TestRoot() }
    try test.write("/run/real.conf", "nameserver 192.0.2.9\n")
    let made = try await Program.run(
      ["ln", "-s", "/run/real.conf", test.directory("run/resolv.conf")])
    #expect(made.succeeded)
    let ipam = #"{"subnet":"10.1.2.0/24","resolvConf":"\#(TemporaryDirectory.parent)/x"}"#
    await #expect(throws: CNIError.self) { _ = try await add(try call(ipam, test)) }
    var good = try call(#"{"subnet":"10.1.2.0/24","resolvConf":"/run/resolv.conf"}"#, test)
    good.allowedPaths = nil
    #expect(try await add(good).dns.nameservers == ["192.0.2.9"])
    #expect(leases.leases == ["10.1.2.2"])
  }

  @Test("A plugin on disk is the host's and runs below it")
  func executed() async throws {
    let test = try await onThread { try TestRoot() }
    try test.write(
      "/opt/cni/bin/fake",
      """
      #!/bin/sh
      echo $CNI_COMMAND >>/ran
      echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'

      """, permissions: 0o755)
    let call = try call(#"{"type":"fake"}"#, test)
    #expect(try await add(call).ips.map { "\($0.address)" } == ["10.0.0.2/24"])
    #expect(try Files.read(test.directory("ran")) == Array("ADD\n".utf8))
  }
}
