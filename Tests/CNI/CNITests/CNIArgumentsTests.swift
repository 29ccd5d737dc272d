import Addresses
import CNI
import TestSupport
import Testing

@Suite("CNI_ARGS")
struct CNIArgumentsTests {
  @Test("Keys and values are read in order without the white space around them")
  func reading() throws {
    let arguments = try CNIArguments(" K8S_POD_NAME = a b ;\tIP=;K8S_POD_NAME=last\u{a0}")
    #expect(arguments.pairs.map(\.key) == ["K8S_POD_NAME", "IP", "K8S_POD_NAME"])
    #expect(arguments.pairs.map(\.value) == ["a b", "", "last"])
    #expect(arguments["K8S_POD_NAME"] == "last")
    #expect(arguments["IP"] == "")
    #expect(arguments["k8s_pod_name"] == nil)
  }

  @Test("No text and an empty text mean no arguments", arguments: [nil, ""] as [String?])
  func empty(text: String?) throws {
    #expect(try CNIArguments(text).pairs.isEmpty)
    #expect(try CNIArguments(strict: text).pairs.isEmpty)
    #expect(CNIArguments(readable: text).pairs.isEmpty)
  }

  @Test(
    "An item without exactly one = is named, by the daemon's text and by the library's",
    arguments: [
      ("K8S_POD_NAME=a;b", "b", #""b""#), ("a=b;", "", #""""#), (";", "", #""""#),
      ("a=b=c", "a=b=c", #""a=b=c""#),
      ("IgnoreUnknown=0, Unk=nown", "IgnoreUnknown=0, Unk=nown", #""IgnoreUnknown=0, Unk=nown""#),
      ("a=b; \"x\" ;c", " \"x\" ", #"" \"x\" ""#),
    ])
  func malformed(text: String, item: String, quoted: String) {
    #expect(
      failure { () throws(CNIError) in try CNIArguments(text) }
        == CNIError(.invalidEnvironment, "invalid CNI_ARG '\(item)'"))
    #expect(
      failure { () throws(CNIError) in try CNIArguments(strict: text) }
        == CNIError(.invalidEnvironment, "ARGS: invalid pair \(quoted)"))
  }

  @Test("For a DEL the readable part is enough")
  func readable() {
    let arguments = CNIArguments(readable: "b;K8S_POD_NAME=a;;c=d=e; x = y ")
    #expect(arguments.pairs.map(\.key) == ["K8S_POD_NAME", "x"])
    #expect(arguments["x"] == "y")
  }

  @Test("The library's reading trims nothing")
  func strict() throws {
    let arguments = try CNIArguments(strict: " a = b ;c=")
    #expect(arguments.pairs.map(\.key) == [" a ", "c"])
    #expect(arguments[" a "] == " b ")
  }

  @Test(
    "Unknown keys are refused by whole pairs unless the runtime allows them",
    arguments: [
      ("Unk=nown", #"ARGS: unknown args ["Unk=nown"]"#),
      ("IgnoreUnknown=1;Unk=nown", nil), ("IgnoreUnknown=True;Unk=nown", nil),
      ("Unk=nown;IgnoreUnknown=true", nil), ("IgnoreUnknown=TRUE;Unk=nown", nil),
      ("IgnoreUnknown=0;K=V;MAC=x;K2=V2", #"ARGS: unknown args ["K=V" "K2=V2"]"#),
      ("IgnoreUnknown=False;a=\"", #"ARGS: unknown args ["a=\""]"#),
      ("IgnoreUnknown=false", nil), ("K8S_POD_NAME=a;K8S_ANYTHING=b;MAC=x", nil), ("", nil),
      (
        "IgnoreUnknown=yes;a=b",
        #"ARGS: error parsing value of pair "IgnoreUnknown=yes": boolean unmarshal error: invalid input yes"#
      ),
      ("\u{212A}8S_X=1", "ARGS: unknown args [\"\u{212A}8S_X=1\"]"),
    ] as [(String, String?)])
  func unknown(text: String, message: String?) throws {
    let arguments = try CNIArguments(text)
    let error = failure { () throws(CNIError) in try arguments.checkKnown(["MAC", "IP"]) }
    #expect(error == message.map { CNIError(.invalidEnvironment, $0) })
  }

  @Test("An address argument is an address without a prefix, or nothing")
  func addresses() throws {
    #expect(try CNIArguments("IP=10.1.2.88").ip(for: "IP") == IPAddress("10.1.2.88"))
    #expect(try CNIArguments("IP=2001:db8::1").ip(for: "IP") == IPAddress("2001:db8::1"))
    #expect(try CNIArguments("IP=").ip(for: "IP") == nil)
    #expect(try CNIArguments("MAC=x").ip(for: "IP") == nil)
    let arguments = try CNIArguments("IP=10.0.0.0/24")
    #expect(
      failure { () throws(CNIError) in try arguments.ip(for: "IP") }
        == CNIError(
          .invalidEnvironment,
          #"ARGS: error parsing value of pair "IP=10.0.0.0/24": invalid IP address: 10.0.0.0/24"#))
  }
}
