import CNI
import JSON
import Libcni
import PluginKit
import TestSupport
import Testing

@testable import DelegatePlugin

@Suite("The networks that a configuration names")
struct DelegateSetTests {
  private func set(_ members: String) throws(CNIError) -> DelegateSet {
    let text = #"{"cniVersion":"1.0.0","name":"pods",\#(members)}"#
    return try DelegateSet(try NetworkConfiguration(JSONValue(text: text).bytes), ifName: "eth0")
  }

  private func fault(_ members: String) -> String? {
    do throws(CNIError) {
      _ = try set(members)
      return nil
    } catch {
      return error.message
    }
  }

  @Test("Configurations and lists, with the interfaces of Multus; what they lack is inherited")
  func delegates() throws {
    let set = try set(
      #"""
      "delegates": [
        {"type": "macvlan"},
        {"name": "second", "cniVersion": "0.4.0", "plugins": [{"type": "a"}, {"type": "b"}]},
        {"name": "third", "type": "c"}]
      """#)
    #expect(set.members.map(\.ifName) == ["eth0", "net1", "net2"])
    #expect(set.members.map(\.list.name) == ["pods", "second", "third"])
    #expect(set.members.map(\.list.version) == ["1.0.0", "0.4.0", "1.0.0"])
    #expect(set.members.map { $0.list.plugins.map(\.type) } == [["macvlan"], ["a", "b"], ["c"]])
  }

  @Test("One delegate, and a whole list, are a set of one network")
  func single() throws {
    for members in [
      #""delegate": {"type": "a"}"#, #""plugins": [{"type": "a"}]"#,
    ] {
      let set = try set(members)
      #expect(set.members.map(\.list.name) == ["pods"] && set.members[0].ifName == "eth0")
      #expect(set.members[0].list.plugins.map(\.type) == ["a"])
    }
  }

  @Test(
    "What is no set is refused, with the place",
    arguments: [
      (
        #""delegates": []"#,
        "delegates is empty: it names the pod's networks; for those of pods' annotations keep "
          + "Multus, and install cni-shim under the type of each network"
      ),
      (
        #""delegates": {}"#,
        "error unmarshall network config: delegates: object found where an array belongs"
      ),
      (
        #""delegates": [{"name": "x", "plugins": []}]"#,
        "delegates[0]: error parsing configuration list: no plugins in list"
      ),
      (#""delegates": [{"name": "x"}]"#, #"network "x" has no plugins"#),
      (
        #""delegates": [{"type": "../a"}]"#, #"delegates[0]: invalid plugin name: "../a""#
      ),
      (#""delegate": {"type": "a"}, "cacheDir": "x""#, "cacheDir must be an absolute path"),
      (
        #""delegate": {"type": "a"}, "delegates": [{"type": "a"}]"#,
        "delegates and delegate exclude each other"
      ),
      (
        #""delegate": {"type": "a"}, "kubeconfig": "/etc/x""#,
        "kubeconfig: cnid serves the networks that the configuration itself names; keep Multus for "
          + "those of pods' annotations, or remove the key"
      ),
      (
        #""delegate": {"type": "a"}, "executed": ["b"]"#,
        #"executed: "b" is no type of this set"#
      ),
    ])
  func refused(members: String, words: String) {
    #expect(fault(members) == words)
  }

  @Test("Two networks have not the same interface, and a set not any number of plugins")
  func bounds() {
    let two = #"{"name":"pods","delegates":[{"type":"a"},{"type":"b"}]}"#
    #expect(throws: CNIError.self) {
      try DelegateSet(try NetworkConfiguration(JSONValue(text: two).bytes), ifName: "net1")
    }
    let many = Array(repeating: #"{"type":"a"}"#, count: 65).joined(separator: ",")
    #expect(fault(#""plugins": [\#(many)]"#) == "65 plugins: a set has at most 64")
  }

  @Test("A planned part is read as it was written")
  func planned() throws {
    let part = PlannedPart(
      place: "1.0", type: "bridge", network: "n", ifName: "net1", isExecuted: true)
    #expect(PlannedPart(part.planned.values) == part)
    #expect(PlannedPart(JSONObject()) == nil)
  }
}
