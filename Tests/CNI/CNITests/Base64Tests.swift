import CNI
import Foundation
import Testing

@Suite("Base64")
struct Base64Tests {
  // RFC 4648, section 10, and bytes that need both special characters.
  static let vectors: [([UInt8], String)] =
    [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
      ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ].map { (Array($0.0.utf8), $0.1) } + [
      ([0xFB, 0xEF, 0xFF], "++//"), ([0], "AA=="), ([0xFF], "/w=="), ([0xFF, 0xFF], "//8="),
    ]

  @Test("The vectors of RFC 4648 are met in both directions", arguments: vectors)
  func vector(bytes: [UInt8], text: String) throws {
    #expect(Base64.encode(bytes) == text)
    #expect(try Base64.decode(text) == bytes)
  }

  @Test("Every length and byte agrees with Foundation's encoder")
  func againstFoundation() throws {
    for length in 0...300 {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ length) }
      let text = Base64.encode(bytes)
      #expect(text == Data(bytes).base64EncodedString())
      #expect(try Base64.decode(text) == bytes)
    }
  }

  @Test(
    "Anything else is refused where it goes wrong",
    arguments: [
      ("Z", 1), ("Zg", 2), ("Zg=", 3), ("Zm8", 3), ("Zg===", 2), ("Zm9vZg", 6), ("=", 1),
      ("==", 2), ("====", 0), ("Z===", 1), ("Zg==Zg==", 2), ("Zm8=Zm8=", 3), ("Zg=v", 2),
      ("Zg==\n", 2), ("Zm\n9v", 2), (" Zm9v", 0), ("Zm-_", 2), ("Zm9é", 3), ("Zm9\0", 3),
      // Bits after the last byte.
      ("Zh==", 1), ("Zm9=", 2), ("//9=", 2), ("/x==", 1),
    ])
  func refused(text: String, offset: Int) {
    let error = #expect(throws: Base64.DecodingError.self) { try Base64.decode(text) }
    #expect(error?.offset == offset)
    #expect(error?.description == "illegal base64 data at input byte \(offset)")
  }
}
