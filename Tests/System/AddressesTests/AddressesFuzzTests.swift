import Addresses
import TestSupport
import Testing

@Suite("Addresses under damaged input")
struct AddressesFuzzTests {
  @Test("No text traps, and what is read survives printing and reading again")
  func texts() async {
    await #expect(processExitsWith: .success) {
      let corpus = [
        "10.1.2.3/24", "255.255.255.255", "::ffff:1.2.3.4/120", "2001:db8:0:0:1::1/64",
        "1:2:3:4:5:6:7:8", "::", "1::8/0", "c2:11:22:33:44:55", "c211.2233.4455",
      ]
      let words = ["::", ":", ".", "/", "0", "255", "ffff", "%", "1.2.3.4"]
      await Fuzz(150_000, texts: corpus, words: words).run { mutator in
        let text = String(decoding: mutator.next(), as: UTF8.self)
        if let address = IPAddress(text) {
          precondition(IPAddress(address.description) == address, text)
          precondition(IPAddress(bytes: address.bytes) == address, text)
        }
        if let network = IPNetwork(text) {
          precondition(IPNetwork(network.description) == network, text)
          precondition(network.contains(network.address) && network.masked.overlaps(network), text)
          precondition(network.first <= network.last, text)
        }
        if let address = MACAddress(text) {
          precondition(MACAddress(address.description) == address, text)
        }
        return true
      }
    }
  }

  @Test("Every number survives printing and reading, in both families")
  func numbers() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(100_000, corpus: []).run { mutator in
        // Groups of zeros are what printing has to get right, so half of them are.
        var bits: UInt128 = 0
        for _ in 0..<8 {
          let group = mutator.number()
          bits = bits << 16 | UInt128(group & 1 == 0 ? 0 : UInt16(truncatingIfNeeded: group >> 8))
        }
        let v6 = IPAddress(v6: bits)
        precondition(IPAddress(v6.description) == v6.unmapped, v6.description)
        let v4 = IPAddress(v4: UInt32(truncatingIfNeeded: mutator.number()))
        precondition(IPAddress(v4.description) == v4, v4.description)
        return true
      }
    }
  }
}
