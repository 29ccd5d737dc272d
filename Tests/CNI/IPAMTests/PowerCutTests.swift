import CNI
import IPAM
@_spi(Journal) import Linux
import Testing
import TestSupport

@Suite("The lease directory: a power cut")
struct PowerCutTests {
  @Test(
    "leases that were sent to the disk are whole afterwards; of later ones at most empty files stay",
    .enabled(if: PowerCutDisk.impossible == nil, "\(PowerCutDisk.impossible ?? "")"))
  func cut() async throws {
    let directory = try TemporaryDirectory()
    let contents = try await onThread {
      let disk = try PowerCutDisk(in: directory, commitSeconds: 1)
      let keeper = Keeper()
      let data = disk.path + "/networks"
      try Files.makeDirectory(data)
      let cache = LeaseCache(keeper: keeper)
      func add(_ numbers: Range<Int>) throws {
        for number in numbers {
          let text =
            #"{"name":"net","ipam":{"type":"host-local","subnet":"10.1.0.0/16","dataDir":"\#(data)"}}"#
          let call = IPAMCall(
            containerID: "c\(number)", ifName: "eth0", arguments: try CNIArguments(""),
            configuration: try NetworkConfiguration(Array(text.utf8)),
            allowedPaths: [data], deadline: .after(seconds: 60), leases: cache)
          _ = try HostLocal(call).add(Permit())
        }
      }
      try add(0..<100)
      keeper.flush()
      try add(100..<120)
      // The kernel writes the names, not the content.
      Clock.pause(milliseconds: 3000)
      try disk.cut()
      defer { try? disk.unmount() }
      let names = try Files.list(data + "/net").filter { $0.hasPrefix("10.") }
      return try names.map {
        String(decoding: try Files.read("\(data)/net/\($0)"), as: UTF8.self)
      }
    }
    // The kernel may have written some of the later content as well.
    #expect(Set(contents).isSuperset(of: (0..<100).map { "c\($0)\r\neth0" }))
    #expect(contents.count { $0.isEmpty } <= 20)
  }
}
