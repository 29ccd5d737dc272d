import JSON
import Testing
import TestSupport

@Suite("JSON: damaged input")
struct FuzzTests {
  @Test("120 000 damaged texts do not trap, and what is read is printed so that it reads the same")
  func damaged() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(
        120_000, texts: corpus, words: tokens, accepting: 1_000
      ).run(isRead)
    }
  }
}

private let corpus = [
  #"{"cniVersion":"1.1.0","name":"net","type":"macvlan","mtu":1500,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.2.0/24"}]]}}"#,
  #"[1,-0.5e+10,true,false,null,"\u00e9\ud83d\ude00\n\\\"/",{"a":[],"a":{}},""]"#,
  #"{"Result":{"interfaces":[{"name":"eth0","mac":"c2:11:22:33:44:55"}],"dns":{}}}"#,
  "\"é€😀\"", "123456789012345678901234567890", "[[[[[[[[[[]]]]]]]]]]", " \t\r\n{ } ",
  String(repeating: "[{\"a\":", count: 31) + "1" + String(repeating: "}]", count: 31),
]

private let tokens = [
  "\"", "\\", "\\u", "\\ud83d", "\\ude00", "{", "}", "[", "]", ",", ":", "-", "e", ".", "0",
  "null", "\u{0}", "\u{FEFF}", "{\"a\":", "[[[[[[[[", "]]]]]]]]",
]

/// Whether a damaged text is read.
private func isRead(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  let value: JSONValue
  do throws(JSONError) {
    value = try JSONValue.parse(input)
  } catch {
    precondition(0...input.count ~= error.offset && !error.description.isEmpty)
    return false
  }
  precondition((try? JSONValue.parse(value.encoded())) == value)
  precondition((try? JSONValue.parse(value.encoded(.indented()))) == value)
  let sorted = value.encoded(.indented(2, sorted: true))
  precondition((try? JSONValue.parse(sorted))?.encoded(JSONStyle(indent: 2)) == sorted)
  for member in value.object?.members ?? [] {
    precondition((try? JSONValue.parse(Array(input[member.range]))) == member.value)
  }
  return true
}
