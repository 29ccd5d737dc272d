import CNI
import PluginKit
import TestSupport
import Testing

@Suite("PluginRegistry: which plugin an ADD gets")
struct PluginChoiceTests {
  private let plugins: [any NetworkPlugin] = [
    NamedPlugin("macvlan"), NamedPlugin("ovs", aliases: ["ovs-cni"]),
    NamedPlugin("example.org/x", aliases: ["macvlan", "x"]), NamedPlugin("delegate"),
  ]

  private func choice(
    _ members: String, defaultPlugin: String? = nil, of plugins: [any NetworkPlugin]
  ) throws(CNIError) -> String {
    try PluginRegistry.assemble(plugins, host: try host()).registry.choose(
      for: try configuration(members), defaultPlugin: defaultPlugin
    ).name
  }

  @Test(
    "the first rule that applies decides: plugin, type, delegates, the default",
    arguments: [
      (#""plugin":"ovs","type":"macvlan","delegates":[{}]"#, "ovs"),
      (#""plugin":"ovs-cni","type":"macvlan""#, "ovs"),
      (#""plugin":"example.org/x""#, "example.org/x"),
      (#""plugin":null,"type":"macvlan""#, "macvlan"),
      (#""type":"macvlan","delegate":{}"#, "macvlan"),
      (#""type":"ovs-cni""#, "ovs"),
      (#""type":"x""#, "example.org/x"),
      (#""type":"multus","delegates":[{"type":"macvlan"}]"#, "delegate"),
      (#""type":"flannel","delegate":{"type":"bridge"}"#, "delegate"),
      (#""delegate":{}"#, "delegate"),
      (#""type":"cni-shim""#, "default"),
      (#""type":"cni-shim","delegate":null,"delegates":null"#, "default"),
      ("", "default"),
    ])
  func order(members: String, chosen: String) throws {
    let all = plugins + [NamedPlugin("default")]
    #expect(try choice(members, defaultPlugin: "default", of: all) == chosen)
  }

  @Test("the default plugin can be named by an alias")
  func defaultByAlias() throws {
    #expect(try choice("", defaultPlugin: "ovs-cni", of: plugins) == "ovs")
  }

  @Test("a plugin's name wins over another's alias")
  func nameBeforeAlias() throws {
    let registry = PluginRegistry.assemble(plugins.reversed(), host: try host()).registry
    #expect(registry.plugin(forType: "macvlan")?.name == "macvlan")
    #expect(registry.plugin(named: "ovs-cni") == nil)
  }

  @Test(
    "where no rule finds a plugin the error has code 7 and names those that there are",
    arguments: [
      (#""plugin":"nope","type":"macvlan""#, nil, "no plugin \"nope\""),
      (#""type":"nope""#, nil, "no plugin for type \"nope\""),
      ("", nil, "no plugin for type \"\""),
      (#""type":"nope""#, "gone", "no plugin \"gone\""),
    ] as [(String, String?, String)])
  func none(members: String, defaultPlugin: String?, text: String) {
    let error = failure { () throws(CNIError) in
      try choice(members, defaultPlugin: defaultPlugin, of: plugins)
    }
    #expect(error?.code == .invalidConfiguration)
    let hint =
      text.contains("for type") ? "the network must name one as \"plugin\"" : "this cnid has"
    #expect(error?.message == "\(text); \(hint): macvlan, ovs, example.org/x, delegate")
  }

  @Test(
    "a configuration of Multus without the delegate plugin says what to do instead",
    arguments: [
      #""type":"multus","delegates":[]"#, #""type":"multus-shim""#, #""Delegates":[],"type":"x""#,
    ])
  func noDelegatePlugin(members: String) {
    let error = failure { () throws(CNIError) in
      try choice(members, of: [NamedPlugin("macvlan")])
    }
    #expect(error?.code == .invalidConfiguration)
    #expect(
      error?.message == "this is a configuration of Multus, which this cnid does not replace: "
        + "keep Multus, and install cni-shim under the type of each of its networks")
  }

  @Test("a configuration list is told from a plugin's configuration")
  func list() {
    let error = failure { () throws(CNIError) in
      try choice(#""plugins":[{"type":"macvlan"}]"#, of: [NamedPlugin("macvlan")])
    }
    #expect(
      error
        == CNIError(
          .invalidConfiguration,
          "this is a configuration list; a plugin gets one entry of \"plugins\""))
  }

  @Test("a plugin key that is no string is code 7")
  func wrongType() {
    let error = failure { () throws(CNIError) in try choice(#""plugin":1"#, of: plugins) }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.message == "plugin: must be a string")
  }
}
