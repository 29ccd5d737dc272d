import CNI
import JSON
import Testing
import TestSupport

@Suite("The keys of a network configuration")
struct KeyTests {
  private func configuration(_ members: String) throws -> NetworkConfiguration {
    try NetworkConfiguration(Array("{\(members)}".utf8))
  }

  @Test("The specification's keys count in any case")
  func anyCase() throws {
    let read = try configuration(
      #""Name":"net","CNIVersion":"1.0.0","TYPE":"macvlan","IPAM":{"Type":"static"},"#
        + #""RuntimeConfig":{"mac":"x"},"Args":{"CNI":{"a":1}},"DNS":{"Domain":"d"},"#
        + #""Capabilities":{"mac":true},"PrevResult":{"cniVersion":"1.0.0"}"#)
    #expect(read.name == "net" && read.cniVersion == "1.0.0" && read.type == "macvlan")
    #expect(read.ipamType == "static" && read.runtimeConfig?["mac"] == "x")
    #expect(read.cniArgs?["a"] == 1 && read.dns.domain == "d")
    #expect(read.declares(capability: "mac") && read.previous != nil)
  }

  @Test("The names of capabilities are the runtime's, and counted exactly")
  func capabilities() throws {
    #expect(
      try !configuration(#""name":"n","capabilities":{"MAC":true}"#).declares(capability: "mac"))
  }

  @Test("A zero byte in a text is refused: the kernel would read what stands before it")
  func zeroByte() {
    let error = #expect(throws: CNIError.self) {
      try configuration(#""name":"n","type":"macvlan\u0000x""#)
    }
    #expect(
      error
        == CNIError(
          .invalidConfiguration,
          "error unmarshall network config: type: the text has a zero byte"))
  }

  @Test("An override and a default know a key in any case")
  func rebuilding() throws {
    let given = try configuration(#""name":"n","Master":"m0""#)
    let over = try given.overridden(by: JSONObject([("master", "m1")]))
    #expect(String(decoding: over.bytes, as: UTF8.self) == #"{"name":"n","master":"m1"}"#)
    let without = try given.overridden(by: JSONObject([("MASTER", .null)]))
    #expect(String(decoding: without.bytes, as: UTF8.self) == #"{"name":"n"}"#)
    #expect(try given.completed(with: JSONObject([("master", "m1")])) == given)
  }

  @Test(
    "What the specification, chained plugins and vendors have does not warn",
    arguments: [
      #""cniVersion":"1.0.0","cniVersions":[],"type":"x","args":{"a":1},"runtimeConfig":{"b":1}"#,
      #""prevResult":{"x":1},"capabilities":{"y":true},"ipMasq":true,"disableCheck":true"#,
      #""disableGC":true,"daemonSocketDir":"/x","daemonTimeout":1,"logFile":"/x","plugin":"p""#,
      #""sysctl":{},"ingressRate":1,"cni.dev/valid-attachments":[],"_note":1,"a/b":2"#,
      #""ipam":{"type":"whereabouts","range":"10.0.0.0/8"},"IPMasq":true"#,
    ])
  func known(members: String) throws {
    let read = try configuration(#""name":"n",\#(members)"#)
    #expect(read.unknownKeys(plugin: KeyTable(["vlan"]), ipam: nil) == [])
  }

  @Test("Other keys are told, those of ipam by its own table")
  func unknown() throws {
    let read = try configuration(
      #""name":"n","vlann":1,"ipams":{},"ipam":{"typ":"x"},"dns":{"nameserver":[]}"#)
    let found = read.unknownKeys(plugin: KeyTable(["vlan"]), ipam: KeyTable(["type"]))
    #expect(
      found.map(\.description) == [
        #"unknown key "vlann" (did you mean "vlan"?)"#,
        #"unknown key "ipams" (did you mean "ipam"?)"#,
        #"unknown key "ipam.typ" (did you mean "type"?)"#,
        #"unknown key "dns.nameserver" (did you mean "nameservers"?)"#,
      ])
  }
}
