import CNI
import JSON
import TestSupport
import Testing

@Suite("Rebuilding a configuration")
struct RebuildingTests {
  let original = #"{ "name":"n" , "a":1.50, "b" : { "x": "\u0041" , "x":2 } }"#

  private func configuration(_ text: String) throws -> NetworkConfiguration {
    try NetworkConfiguration(Array(text.utf8))
  }

  private func overridden(by overrides: String) throws -> String {
    let object = try #require(try parse(overrides).object)
    return String(decoding: try configuration(original).overridden(by: object).bytes, as: UTF8.self)
  }

  @Test("No overrides leave the bytes unchanged")
  func unchanged() throws {
    #expect(try overridden(by: "{}") == original)
    #expect(try configuration(original).replacing([]).bytes == Array(original.utf8))
  }

  @Test(
    "Overrides win key by key, null drops, other values keep their bytes",
    arguments: [
      (#"{"a":3,"c":4}"#, #"{"name":"n","a":3,"b":{ "x": "\u0041" , "x":2 },"c":4}"#),
      (#"{"a":null}"#, #"{"name":"n","b":{ "x": "\u0041" , "x":2 }}"#),
      (#"{"zz":null}"#, #"{"name":"n","a":1.50,"b":{ "x": "\u0041" , "x":2 }}"#),
      (#"{"b":{"y":1.0}}"#, #"{"name":"n","a":1.50,"b":{"y":1.0}}"#),
      (#"{"a":1,"a":2}"#, #"{"name":"n","a":2,"b":{ "x": "\u0041" , "x":2 }}"#),
      (#"{"name":"m"}"#, #"{"name":"m","a":1.50,"b":{ "x": "\u0041" , "x":2 }}"#),
    ])
  func merging(overrides: String, expected: String) throws {
    #expect(try overridden(by: overrides) == expected)
  }

  @Test("A rebuilt configuration is checked, and its ranges lie in its own bytes")
  func checked() throws {
    let rebuilt = try configuration(original).replacing([
      (key: "b", value: nil), (key: "c\"", value: true),
    ])
    #expect(String(decoding: rebuilt.bytes, as: UTF8.self) == #"{"name":"n","a":1.50,"c\"":true}"#)
    let range = try #require(rebuilt.object.range(of: "a"))
    #expect(String(decoding: rebuilt.bytes[range], as: UTF8.self) == "1.50")

    let error = failure { () throws(CNIError) in try rebuilt.replacing([(key: "name", value: nil)])
    }
    #expect(error == CNIError(.invalidConfiguration, "missing network name"))
  }

  @Test("Duplicates of other keys stay, those of a replaced key collapse")
  func duplicates() throws {
    let doubled = try configuration(#"{"name":"n","k":1,"k":2,"z":3,"z":4}"#)
    let rebuilt = try doubled.replacing([(key: "z", value: 5)])
    #expect(String(decoding: rebuilt.bytes, as: UTF8.self) == #"{"name":"n","k":1,"k":2,"z":5}"#)
  }

  @Test("A configuration that was built is printed and read back")
  func built() throws {
    let configuration = try NetworkConfiguration(JSONObject([("name", "n"), ("type", "t")]))
    #expect(String(decoding: configuration.bytes, as: UTF8.self) == #"{"name":"n","type":"t"}"#)
    #expect(configuration.type == "t")
  }
}
