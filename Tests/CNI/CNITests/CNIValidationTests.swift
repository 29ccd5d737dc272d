import CNI
import TestSupport
import Testing

@Suite("Names")
struct CNIValidationTests {
  @Test(
    "Ids and network names of ASCII letters, digits, _, . and - are valid",
    arguments: [
      "a", "0", "Z9_.-", "some-container-id", "a.b", "1__", String(repeating: "x", count: 300),
    ])
  func validNames(name: String) {
    #expect(failure { () throws(CNIError) in try CNIValidation.containerID(name) } == nil)
    #expect(failure { () throws(CNIError) in try CNIValidation.networkName(name) } == nil)
  }

  @Test(
    "Other ids and network names are refused, the value in the details",
    arguments: [
      "some-%%container-id", "te%%st", "-a", ".a", "_a", "a b", "a/b", "a\n", "\na", "é", "a٣",
      "a\0",
      " ", "e\u{301}", "K\u{212A}",
    ])
  func invalidNames(name: String) {
    #expect(
      failure { () throws(CNIError) in try CNIValidation.containerID(name) }
        == CNIError(.invalidEnvironment, "invalid characters in containerID", details: name))
    #expect(
      failure { () throws(CNIError) in try CNIValidation.networkName(name) }
        == CNIError(
          .invalidConfiguration, "invalid characters found in network name", details: name))
  }

  @Test("Empty names have texts of their own, and never code 3")
  func emptyNames() {
    #expect(
      failure { () throws(CNIError) in try CNIValidation.containerID("") }
        == CNIError(.invalidEnvironment, "missing containerID"))
    #expect(
      failure { () throws(CNIError) in try CNIValidation.networkName("") }
        == CNIError(.invalidConfiguration, "missing network name"))
    #expect(
      failure { () throws(CNIError) in try CNIValidation.interfaceName("") }
        == CNIError(.invalidEnvironment, "interface name is empty"))
  }

  @Test(
    "Interface names of up to 15 bytes are valid",
    arguments: ["eth0", "123456789012345", "...", "a.b", "é", "日本語日本"])
  func validInterfaces(name: String) {
    #expect(failure { () throws(CNIError) in try CNIValidation.interfaceName(name) } == nil)
  }

  @Test(
    "Other interface names are refused with the reason",
    arguments: [
      (
        "1234567890123456", "interface name is too long",
        "interface name should be less than 16 characters"
      ),
      ("日本語日本語", "interface name is too long", "interface name should be less than 16 characters"),
      (".", "interface name is . or ..", ""), ("..", "interface name is . or ..", ""),
      ("eth%d", "interface name contains %", #"the kernel would take "eth%d" for a pattern"#),
      ("%", "interface name contains %", #"the kernel would take "%" for a pattern"#),
    ]
      + [
        "test/test", "test:test", "test test", "a\t", "\na", "a\u{0b}", "a\u{0c}", "a\r", "a\u{85}",
        "a\u{a0}", "a\u{1680}", "a\u{2000}b", "a\u{200a}", "a\u{2028}", "a\u{2029}", "a\u{202f}",
        "a\u{205f}", "a\u{3000}", "a\0b", "é/",
      ].map { ($0, "interface name contains / or : or whitespace characters", "") })
  func invalidInterfaces(name: String, message: String, details: String) {
    #expect(
      failure { () throws(CNIError) in try CNIValidation.interfaceName(name) }
        == CNIError(.invalidEnvironment, message, details: details))
  }

  @Test(
    "A plugin's name is a file name",
    arguments: [
      ("macvlan", nil), ("a.b", nil), ("...", nil), ("a b", nil), ("", "no plugin name provided"),
      ("a/b", #"invalid plugin name: "a/b""#), ("/", #"invalid plugin name: "/""#),
      (".", #"invalid plugin name: ".""#), ("..", #"invalid plugin name: "..""#),
      ("a\0", #"invalid plugin name: "a\x00""#),
    ] as [(String, String?)])
  func pluginNames(name: String, message: String?) {
    let error = failure { () throws(CNIError) in try CNIValidation.pluginName(name) }
    #expect(error == message.map { CNIError(.invalidConfiguration, $0) })
  }

  @Test(
    "Values are quoted as Go quotes them",
    arguments: [
      ("", #""""#), ("a b", #""a b""#), ("a\"\\", #""a\"\\""#),
      ("\u{07}\u{08}\u{0c}\n\r\t\u{0b}", #""\a\b\f\n\r\t\v""#),
      ("\0\u{1f}\u{7f}", #""\x00\x1f\x7f""#),
      ("é日😀", #""é日😀""#), ("\u{80}\u{a0}\u{ad}", #""\u0080\u00a0\u00ad""#),
      ("\u{2028}\u{feff}\u{200b}", #""\u2028\ufeff\u200b""#), ("\u{ffff}", #""\uffff""#),
      ("\u{e000}", #""\ue000""#), ("\u{10ffff}", #""\U0010ffff""#), ("\u{fffd}", "\"\u{fffd}\""),
    ])
  func quoting(text: String, quoted: String) {
    #expect(goQuoted(text) == quoted)
  }

  @Test("Lists are quoted with spaces between the values")
  func quotingLists() {
    #expect(goQuoted([]) == "[]")
    #expect(goQuoted(["a", "b\""]) == #"["a" "b\""]"#)
  }
}
