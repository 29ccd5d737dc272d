import CNI
import JSON
import Testing

@testable import Libcni

@Suite("Reading a list of plugins")
struct NetworkListTests {
  private func list(_ text: String) throws(CNIError) -> NetworkList {
    try NetworkList(parsing: Array(text.utf8))
  }

  private func fault(_ text: String) -> String? {
    do throws(CNIError) {
      _ = try list(text)
      return nil
    } catch {
      return error.message
    }
  }

  @Test("A list has its name, version and plugins in order, and keeps its bytes")
  func whole() throws {
    let text = """
      {"cniVersion": "1.0.0", "name": "net",
       "plugins": [{"type": "bridge"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}
      """
    let list = try list(text)
    #expect(list.name == "net" && list.version == "1.0.0")
    #expect(list.plugins.map(\.type) == ["bridge", "portmap"])
    #expect(list.capabilities == ["portMappings"])
    #expect(list.bytes == Array(text.utf8))
  }

  @Test("One plugin's configuration is a list of one, and its bytes are those of the list")
  func single() throws {
    let list = try list(#"{"name":"net","cniVersion":"0.4.0","type":"macvlan","master":"eth0"}"#)
    #expect(list.plugins.map(\.type) == ["macvlan"])
    #expect(list.version == "0.4.0" && list.takesOnlyInlined)
    let again = try NetworkList(parsing: list.bytes)
    #expect(again.plugins.map(\.type) == ["macvlan"] && again.name == "net")
    #expect(again.plugins.first?.object["master"]?.string == "eth0")
  }

  @Test(
    "The highest version counts that is known here",
    arguments: [
      (#""cniVersion":"0.3.1""#, "0.3.1"),
      (#""name2":"""#, "0.1.0"),
      (#""cniVersions":["0.3.1","1.0.0","0.4.0"]"#, "1.0.0"),
      (#""cniVersion":"1.1.0","cniVersions":["0.3.1","1.0.0"]"#, "1.1.0"),
      (#""cniVersion":"1.0.0","cniVersions":["0.4.0","9.9.9"]"#, "1.0.0"),
      (#""cniVersion":"9.0.0","cniVersions":["9.9.9"]"#, "9.0.0"),
      (#""cniVersion":"0.4.0","cniVersions":[]"#, "0.4.0"),
    ])
  func versions(members: String, chosen: String) throws {
    #expect(try list(#"{"name":"n",\#(members),"plugins":[{"type":"a"}]}"#).version == chosen)
  }

  @Test(
    "Switches may stand in quotes",
    arguments: [("true", true), (#""TRUE""#, true), (#""false""#, false), ("null", false)])
  func switches(value: String, isOn: Bool) throws {
    let list = try list(
      #"{"name":"n","disableCheck":\#(value),"disableGC":\#(value),"plugins":[{"type":"a"}]}"#)
    #expect(list.disablesCheck == isOn && list.disablesGC == isOn)
  }

  @Test("Plugins may come from files beside a list, behind its own, unless it says no")
  func files() throws {
    let beside = try ListedPlugin(parsing: Array(#"{"type":"tuning"}"#.utf8))
    let empty = try list(#"{"name":"n"}"#)
    #expect(empty.plugins.isEmpty && !empty.takesOnlyInlined)
    let list = try list(#"{"name":"n","plugins":[{"type":"bridge"}]}"#).withPlugins([beside])
    #expect(list.plugins.map(\.type) == ["bridge", "tuning"])
  }

  @Test(
    "What is no list is refused, with the place and the words",
    arguments: [
      ("[]", "array found where an object belongs"),
      (#"{"plugins":[{"type":"a"}]}"#, "no name"),
      (#"{"name":3,"plugins":[]}"#, "name: number found where a string belongs"),
      (
        #"{"name":"n","cniVersion":1,"plugins":[]}"#,
        "cniVersion: number found where a string belongs"
      ),
      (#"{"name":"n","cniVersions":"1.0.0"}"#, "cniVersions: string found where an array belongs"),
      (#"{"name":"n","cniVersions":[1]}"#, "cniVersions[0]: number found where a string belongs"),
      (#"{"name":"n","plugins":{}}"#, "plugins: object found where an array belongs"),
      (#"{"name":"n","plugins":[]}"#, "no plugins in list"),
      (#"{"name":"n","plugins":["a"]}"#, "plugins[0]: string found where an object belongs"),
      (#"{"name":"n","plugins":[{"type":"a"},{}]}"#, "plugins[1].type is missing"),
      (
        #"{"name":"n","disableGC":"perhaps","plugins":[{"type":"a"}]}"#,
        #"disableGC: must be true or false, not "perhaps""#
      ),
      (
        #"{"name":"n","disableCheck":1,"plugins":[{"type":"a"}]}"#,
        "disableCheck: number found where true or false belongs"
      ),
      (
        #"{"name":"n","loadOnlyInlinedPlugins":true}"#,
        #"loadOnlyInlinedPlugins is true, and there is no "plugins""#
      ),
    ])
  func refused(text: String, words: String) {
    #expect(fault(text) == "error parsing configuration list: " + words)
  }

  @Test(
    "A name or a type that could be a path is refused",
    arguments: [
      (#"{"name":"../n","plugins":[{"type":"a"}]}"#, "invalid characters found in network name"),
      (#"{"name":"n","plugins":[{"type":"../a"}]}"#, #"invalid plugin name: "../a""#),
    ])
  func paths(text: String, words: String) {
    #expect(fault(text) == words)
  }
}

@Suite("What a plugin of a list gets")
struct ListedPluginTests {
  private static let text = #"""
    {"name": "net", "cniVersion": "1.0.0", "plugins": [{"type": "portmap", "name": "own",
      "cniVersion": "0.3.1", "snat": true, "cni.dev/valid-attachments": [],
      "capabilities": {"portMappings": true, "mac": false}}]}
    """#
  private let list: NetworkList
  private let plugin: ListedPlugin

  init() throws {
    list = try NetworkList(parsing: Array(Self.text.utf8))
    plugin = try #require(list.plugins.first)
  }

  @Test("The network's name and version, without what only the runtime may write")
  func names() throws {
    let configuration = try plugin.configuration(in: list)
    #expect(configuration.name == "net" && configuration.cniVersion == "1.0.0")
    #expect(configuration.object["snat"]?.bool == true)
    #expect(configuration.declares(capability: "portMappings"))
    #expect(configuration.object["cni.dev/valid-attachments"] == nil)
    #expect(configuration.previous == nil && configuration.runtimeConfig == nil)
  }

  @Test("Of what the runtime offers it gets what it declares")
  func offered() throws {
    let offered = JSONObject([
      ("portMappings", [["hostPort": 1]]), ("mac", "02:00:00:00:00:01"), ("ips", ["10.0.0.1"]),
    ])
    let configuration = try plugin.configuration(in: list, offered: offered)
    #expect(configuration.runtimeConfig?.keys == ["portMappings"])
  }

  @Test("The result of those before it, in the list's version")
  func previous() throws {
    let result = try CNIResult(
      bytes: Array(#"{"cniVersion":"0.4.0","ips":[{"address":"10.0.0.2/24"}]}"#.utf8),
      defaultVersion: .v040)
    let configuration = try plugin.configuration(in: list, previous: result)
    #expect(configuration.previous?["cniVersion"]?.string == "1.0.0")
    #expect(try configuration.prevResult()?.ips.count == 1)
  }
}
