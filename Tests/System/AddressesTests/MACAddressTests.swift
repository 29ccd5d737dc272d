import Addresses
import Testing

@Suite("Hardware addresses")
struct MACAddressTests {
  @Test(
    "The three notations are read and printed in one",
    arguments: ["C2:11:22:33:44:5f", "c2-11-22-33-44-5F", "C211.2233.445F"])
  func accepts(text: String) throws {
    let address = try #require(MACAddress(text))
    #expect(address.description == "c2:11:22:33:44:5f")
    #expect(address.bytes == [0xc2, 0x11, 0x22, 0x33, 0x44, 0x5f])
    #expect(MACAddress(bytes: address.bytes) == address)
  }

  @Test(
    "Anything else is refused",
    arguments: [
      "", "c2:11:22:33:44", "c2:11:22:33:44:5", "c2:11:22:33:44:5g", "c2:11:22:33:44:55:66:77",
      "c2:11:22-33:44:55", "c2112233445f", "c211:2233:445f", "c2.11.22.33.44.55", "c211.2233-445f",
      "c2:11:22:33:44:55 ", " c2:11:22:33:44:5", "c2:1:122:33:44:55", "::::::::::::::::::",
    ])
  func refuses(text: String) {
    #expect(MACAddress(text) == nil)
  }

  @Test("Six bytes make an address, other counts none")
  func bytes() {
    #expect(MACAddress(bytes: [0, 0, 0, 0, 0, 1])?.description == "00:00:00:00:00:01")
    #expect(MACAddress(bytes: []) == nil)
    #expect(MACAddress(bytes: Array(repeating: 0, count: 8)) == nil)
  }

  @Test(
    "A random address is local and names no group", arguments: [0x00, 0x01, 0xff, 0x54] as [UInt8])
  func random(first: UInt8) throws {
    let address = try #require(MACAddress.locallyAdministered(random: [first, 1, 2, 3, 4, 5]))
    #expect(address.isLocallyAdministered && !address.isMulticast)
    #expect(Array(address.bytes.dropFirst()) == [1, 2, 3, 4, 5])
    #expect(MACAddress.locallyAdministered(random: [first]) == nil)
  }
}
