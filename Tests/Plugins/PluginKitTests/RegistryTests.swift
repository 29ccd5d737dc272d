import CNI
import PluginKit
import Testing
import TestSupport

@Suite("PluginRegistry: kubelet's InitNetworkPlugin")
struct RegistryTests {
  @Test("no name gives the no-op plugin, initialised and without errors")
  func noName() throws {
    let other = NamedPlugin("not a name")
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [other], name: "", settings: try settings())
    #expect(plugin?.name == "kubernetes.io/no-op")
    #expect(plugin is NoopPlugin)
    #expect(errors.isEmpty)
    #expect(other.initializations.isEmpty)
  }

  @Test("the chosen plugin is initialised once with the settings, the others are not")
  func chosen() throws {
    let (one, two) = (NamedPlugin("one"), NamedPlugin("example.org/two"))
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [one, two], name: "example.org/two", settings: try settings(mtu: 1460))
    #expect(plugin === two)
    #expect(errors.isEmpty)
    #expect(two.initializations == [1460])
    #expect(one.initializations.isEmpty)
  }

  @Test("an unknown name gives no plugin and says that it was not found")
  func unknown() throws {
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [NamedPlugin("one")], name: "two", settings: try settings())
    #expect(plugin == nil)
    #expect(errors == ["Network plugin \"two\" not found."])
  }

  @Test("an alias is no name here, as in kubelet")
  func alias() throws {
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [NamedPlugin("one", aliases: ["uno"])], name: "uno", settings: try settings())
    #expect(plugin == nil)
    #expect(errors == ["Network plugin \"uno\" not found."])
  }

  @Test("one bad name and the chosen one good: the chosen plugin comes together with an error")
  func badNameOfAnother() throws {
    let good = NamedPlugin("good")
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [NamedPlugin("bad name"), good], name: "good", settings: try settings())
    #expect(plugin === good)
    #expect(good.initializations.count == 1)
    #expect(errors.count == 1)
    #expect(errors.first?.hasPrefix("network plugin has invalid name: \"bad name\": ") == true)
  }

  @Test("a plugin with a bad name cannot be chosen by it")
  func badNameChosen() throws {
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [NamedPlugin("bad name")], name: "bad name", settings: try settings())
    #expect(plugin == nil)
    #expect(errors.count == 2)
    #expect(errors.last == "Network plugin \"bad name\" not found.")
  }

  @Test("of two plugins with one name the first wins, and the second is an error")
  func duplicates() throws {
    let (first, second) = (NamedPlugin("one"), NamedPlugin("one"))
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [first, second], name: "one", settings: try settings())
    #expect(plugin === first)
    #expect(second.initializations.isEmpty)
    #expect(errors == ["network plugin \"one\" was registered more than once"])
  }

  @Test("a plugin that fails to initialise is returned with the error")
  func initFailure() throws {
    let broken = NamedPlugin("one", initFailure: CNIError(.ioFailure, "no disk", details: "EIO"))
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [broken], name: "one", settings: try settings())
    #expect(plugin === broken)
    #expect(errors == ["network plugin \"one\" failed init: no disk; EIO"])
  }

  @Test("every refusal is told, in the order of the plugins")
  func allErrors() throws {
    let (plugin, errors) = PluginRegistry.initNetworkPlugin(
      [NamedPlugin(""), NamedPlugin("a"), NamedPlugin("a"), NamedPlugin("-")], name: "b",
      settings: try settings())
    #expect(plugin == nil)
    try #require(errors.count == 4)
    #expect(errors[0].hasPrefix("network plugin has invalid name: \"\": "))
    #expect(errors[1] == "network plugin \"a\" was registered more than once")
    #expect(errors[2].hasPrefix("network plugin has invalid name: \"-\": "))
    #expect(errors[3] == "Network plugin \"b\" not found.")
  }

  @Test("the daemon's registry keeps the good plugins in their order")
  func assembled() throws {
    let (registry, refusals) = PluginRegistry.assemble(
      [NamedPlugin("b"), NamedPlugin("bad name"), NamedPlugin("a"), NamedPlugin("b")],
      host: try host())
    #expect(registry.plugins.map(\.name) == ["b", "a"])
    #expect(refusals.count == 2)
  }

  @Test(
    "UnescapePluginName turns every ~ into /",
    arguments: [
      ("vendor~name", "vendor/name"), ("name", "name"), ("", ""), ("~", "/"), ("a~b~c", "a/b/c"),
    ])
  func unescaping(escaped: String, name: String) {
    #expect(PluginRegistry.unescapePluginName(escaped) == name)
  }
}

@Suite("PluginRegistry: qualified names")
struct QualifiedNameTests {
  private func isAccepted(_ name: String) throws -> Bool {
    PluginRegistry.assemble([NamedPlugin(name)], host: try host()).refusals.isEmpty
  }

  @Test(
    "qualified names are accepted",
    arguments: [
      "a", "A", "0", "macvlan", "My-Name_1.x", "kubernetes.io/no-op", "a/B", "a.b-c.d/x_y",
      "0.example/1", String(repeating: "n", count: 63),
      String(repeating: "d", count: 253) + "/n",
    ])
  func accepted(name: String) throws { #expect(try isAccepted(name)) }

  @Test(
    "other names are refused",
    arguments: [
      "", " ", "a b", "-a", "a-", ".a", "a.", "_a", "a_", "a/", "/a", "a/b/c", "//", "A.io/n",
      "a_b/n", "-a.io/n", "a-.io/n", "a..b/n", ".a/n", "a./n", "ä", "a\u{0}b", "a\nb", "name~x",
      String(repeating: "n", count: 64), String(repeating: "d", count: 254) + "/n",
    ])
  func refused(name: String) throws { #expect(try !isAccepted(name)) }
}
