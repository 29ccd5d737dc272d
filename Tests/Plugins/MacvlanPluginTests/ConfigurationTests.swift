import CNI
import JSON
import Netlink
import Testing

@testable import MacvlanPlugin

@Suite struct ConfigurationTests {
  private func read(_ members: String) throws -> MacvlanConfiguration {
    try MacvlanConfiguration(
      NetworkConfiguration(Array(#"{"name":"pods","type":"macvlan",\#(members)}"#.utf8)),
      CNIArguments())
  }

  @Test("Every key of the table is read", arguments: MacvlanConfiguration.keys.names)
  func readsItsKeys(key: String) {
    let error = #expect(throws: CNIError.self) { try read(#""\#(key)":[7]"#) }
    #expect(error?.message.contains(key) == true)
  }

  @Test("Keys count in any case, as in the reference plugin")
  func anyCase() throws {
    let read = try read(#""Master":"m0","MODE":"private","Mtu":1300,"runtimeconfig":{"Mac":""}"#)
    #expect(read.master == "m0" && read.mode == .private && read.mtu == 1300)
  }

  @Test("Each source of a hardware address is named when that is none")
  func addresses() {
    for (members, key) in [
      (#""mac":"aa:bb""#, "mac"), (#""runtimeConfig":{"mac":"aa:bb"}"#, "runtimeConfig.mac"),
    ] {
      let error = #expect(throws: CNIError.self) { try read(members) }
      #expect(
        error
          == CNIError(
            .invalidConfiguration, key + #" "aa:bb": must be six bytes such as 0a:58:0a:58:00:02"#))
    }
  }
}
