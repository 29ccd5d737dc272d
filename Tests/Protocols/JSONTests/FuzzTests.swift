import JSON
import Testing
import TestSupport

@Suite("JSON: damaged input")
struct FuzzTests {
  @Test("120 000 damaged texts do not trap, and what is read is printed so that it reads the same")
  func damaged() async {
    await #expect(processExitsWith: .success) {
      let seed = UInt64.random(in: .min ... .max)
      print("JSON fuzz seed \(seed)")
      // The daemon's workers have stacks of 512 KiB.
      let read = await onThread(stackSize: 512 << 10) {
        fuzz(seed: seed, rounds: Program.rounds(120_000))
      }
      print("\(read) texts were read")
      precondition(
        read > Program.rounds(1_000), "too few inputs are still JSON for the test to mean anything")
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

/// Feeds damaged texts to the parser; gives back how many of them were JSON.
private func fuzz(seed: UInt64, rounds: Int) -> Int {
  var mutator = Mutator(
    seed: seed, corpus: corpus.map { Array($0.utf8) }, tokens: tokens.map { Array($0.utf8) })
  var read = 0
  for _ in 0..<rounds {
    let input = mutator.next()
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(input)
    } catch {
      precondition(0...input.count ~= error.offset && !error.description.isEmpty)
      continue
    }
    read += 1
    precondition((try? JSONValue.parse(value.encoded())) == value)
    precondition((try? JSONValue.parse(value.encoded(.indented()))) == value)
    let sorted = value.encoded(.indented(2, sorted: true))
    precondition((try? JSONValue.parse(sorted))?.encoded(JSONStyle(indent: 2)) == sorted)
    for member in value.object?.members ?? [] {
      precondition((try? JSONValue.parse(Array(input[member.range]))) == member.value)
    }
  }
  return read
}
