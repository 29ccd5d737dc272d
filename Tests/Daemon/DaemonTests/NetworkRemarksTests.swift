import CNI
import Daemon
import JSON
import TestSupport
import Testing

@Suite("Server: what is odd in a network is said once")
struct NetworkRemarksTests {
  private func warnings(_ configurations: [String]) async throws -> [Substring] {
    let daemon = try TestDaemon([RecordingPlugin(keys: KeyTable(["vlan"]))])
    for (number, config) in configurations.enumerated() {
      let answer = try await daemon.send(
        CNICall("ADD", #"{"type":"recorder",\#(config)}"#, container: "c\(number)"))
      #expect(answer.status == 200, "\(answer)")
    }
    return daemon.log.split(separator: "\n").filter { $0.contains(" warning network ") }
      .compactMap { $0.split(separator: " ", maxSplits: 2).last }
  }

  @Test("An unknown key is one warning for a network, however many pods it has")
  func unknownKey() async throws {
    let odd = #""name":"o","vlann":1"#
    #expect(
      try await warnings([odd, odd, #""name":"p","vlan":1"#, odd]) == [
        #"network "o": unknown key "vlann" (did you mean "vlan"?) is ignored"#
      ])
  }

  @Test("A second network that leases from the node's pod network is one warning")
  func sharedRange() async throws {
    func network(_ name: String) -> String { #""name":"\#(name)","ipam":{"type":"pod-cidr"}"# }
    let found = try await warnings([network("a"), network("a"), network("b"), network("b")])
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix(#"network "b": it leases from the node's pod network"#) == true)
  }

  @Test("Two networks of one name with different subnets are one warning that names both")
  func sharedLeases() async throws {
    func network(_ name: String, _ subnet: String) -> String {
      #""name":"\#(name)","ipam":{"type":"host-local","subnet":"\#(subnet)"}"#
    }
    let (a, b) = (network("o", "10.1.0.0/24"), network("o", "10.2.0.0/24"))
    let found = try await warnings([a, network("p", "10.3.0.0/24"), a, b, a, b])
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix(#"network "o": two configurations of this name share"#) == true)
    #expect(found.first?.contains("/o, one for 10.1.0.0/24 and one for 10.2.0.0/24: ") == true)
  }
}
