import OVSDB
import Testing

@Suite("Messages are cut out of the stream")
struct MessageSplitterTests {
  private static let messages = [
    "{}", #"{"a":{"b":[1,{}]}}"#, #"{"}":"{[\"}\\"}"#, #"{"a":"\\","b":"]"}"#, #"{"ß":"\u007d"}"#,
  ]

  /// Feeds a text in pieces of a size and gives the messages as texts.
  private func cut(
    _ text: String, size: Int = .max, limit: Int = 100
  ) throws(MessageSplitter.Failure) -> [String] {
    var splitter = MessageSplitter(limit: limit)
    var messages: [[UInt8]] = []
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      try splitter.feed(rest.prefix(size), into: &messages)
      rest = rest.dropFirst(size)
    }
    return messages.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("However they are joined and parted", arguments: 1...60)
  func pieces(size: Int) throws {
    let joined = Self.messages.joined()
    #expect(try cut(joined, size: size) == Self.messages)
    let spaced = " \n" + Self.messages.joined(separator: "\t\r\n ") + " "
    #expect(try cut(spaced, size: size) == Self.messages)
  }

  @Test("One that is not complete is not there yet")
  func incomplete() throws {
    #expect(try cut(#"{}{"a":1"#) == ["{}"])
    #expect(try cut(#"{"a":"}"#) == [])
  }

  @Test("Something else between them is an error, after those before it")
  func junk() {
    var splitter = MessageSplitter()
    var messages: [[UInt8]] = []
    #expect(throws: MessageSplitter.Failure.junk(UInt8(ascii: "x"))) {
      try splitter.feed(Array("{}{}x{}".utf8)[...], into: &messages)
    }
    #expect(messages.count == 2)
    #expect(throws: MessageSplitter.Failure.junk(UInt8(ascii: "["))) { try cut("[]") }
    #expect(throws: MessageSplitter.Failure.junk(0)) { try cut("\0") }
  }

  @Test("A message may be as long as the limit and no longer, however it comes", arguments: 1...12)
  func limit(size: Int) throws {
    #expect(try cut(#"{"a":"bc"}{}"#, size: size, limit: 10) == [#"{"a":"bc"}"#, "{}"])
    #expect(throws: MessageSplitter.Failure.tooLong(limit: 9)) {
      try cut(#"{"a":"bc"}"#, size: size, limit: 9)
    }
    #expect(throws: MessageSplitter.Failure.tooLong(limit: 9)) {
      try cut(#"{"a":"bc......"#, size: size, limit: 9)
    }
  }
}
