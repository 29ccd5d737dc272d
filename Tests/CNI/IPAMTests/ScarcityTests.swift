import CNI
import IPAM
@_spi(Journal) import Linux
import TestSupport
import Testing

/// The code of a call's error; 0 without one.
private func code(_ body: () throws(CNIError) -> Void) -> Int {
  do throws(CNIError) {
    try body()
    return 0
  } catch {
    return error.code.rawValue
  }
}

@Suite("host-local without descriptors")
struct ScarcityTests {
  @Test("A lease that cannot be read now is nobody else's: DEL, CHECK and GC say 11 and leave it")
  func lease() async {
    await #expect(processExitsWith: .success) {
      let leases = try Leases()
      let configuration = try leases.configuration(#"{"subnet":"10.1.2.0/24"}"#)
      let driver = HostLocal(try leases.call(configuration))
      _ = try driver.add(Permit())
      try driver.check()
      // The lock gets the last one.
      let codes = try withDescriptors(more: 1) {
        [
          code { () throws(CNIError) in try driver.check() },
          code { () throws(CNIError) in try driver.delete(Permit()) },
          code { () throws(CNIError) in try driver.collectGarbage(valid: [], Permit()) },
        ]
      }
      guard codes == [11, 11, 11] else { fatalError("\(codes)") }
      try driver.check()
    }
  }
}
