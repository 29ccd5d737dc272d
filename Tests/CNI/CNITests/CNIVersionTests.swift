import CNI
import TestSupport
import Testing

@Suite("Versions and verbs")
struct CNIVersionTests {
  @Test("The seven versions are read exactly and ordered by age")
  func versions() {
    let texts = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    #expect(CNIVersion.allCases.map(\.description) == texts)
    #expect(texts.map { CNIVersion($0) } == CNIVersion.allCases)
    #expect(CNIVersion.allCases.reversed().sorted() == CNIVersion.allCases)
    #expect(CNIVersion.newest == .v110)
    for text in ["", "1.1", "1.1.0 ", "01.1.0", "1.1.0.0", "1.2.0", "v1.0.0", "0.3.2"] {
      #expect(CNIVersion(text) == nil)
    }
  }

  @Test("The answer to VERSION is the library's")
  func report() {
    #expect(
      text(CNIVersion.report)
        == #"{"cniVersion":"1.1.0","supportedVersions":"#
        + #"["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#)
  }

  @Test(
    "A verb is allowed by the versions that have it",
    arguments: [
      ("1.1.0", .add), ("", .add), ("0.1.0", .delete), ("", .delete), ("0.4.0", .check),
      ("1.1.0", .check), ("1.1.0", .garbageCollect), ("1.1.0", .status), ("0.3.0", .update),
      ("", .version), ("adsfsadf", .version), ("0.2.0", CNICommand(rawValue: "NOPE")),
    ] as [(String, CNICommand)])
  func allowed(version: String, command: CNICommand) {
    #expect(failure { () throws(CNIError) in try CNIVersion.check(version, for: command) } == nil)
  }

  @Test(
    "Other versions are refused with the library's code and texts",
    arguments: [
      (
        "9.8.7", .add, 1, "incompatible CNI versions",
        #"config is "9.8.7", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#
      ),
      (
        "a\"b", .delete, 1, "incompatible CNI versions",
        #"config is "a\"b", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#
      ),
      (
        "1.1", .check, 1, "incompatible CNI versions",
        #"config is "1.1", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#
      ),
      ("0.3.0", .check, 1, "CHECK needs cniVersion 0.4.0, the network says 0.3.0", ""),
      ("", .check, 1, "CHECK needs cniVersion 0.4.0, the network says 0.1.0", ""),
      ("0.3.0", .garbageCollect, 1, "GC needs cniVersion 1.1.0, the network says 0.3.0", ""),
      ("1.0.0", .status, 1, "STATUS needs cniVersion 1.1.0, the network says 1.0.0", ""),
      ("1.2.0", .status, 1, "cniVersion 1.2.0 is not known, the newest is 1.1.0: no STATUS", ""),
      ("9.8.7", .check, 1, "cniVersion 9.8.7 is not known, the newest is 1.1.0: no CHECK", ""),
      (
        "adsfsadf", .check, 6,
        #"failed to convert major version part "adsfsadf": strconv.Atoi: parsing "adsfsadf": invalid syntax"#,
        ""
      ),
      (
        "1.x", .status, 6,
        #"failed to convert minor version part "x": strconv.Atoi: parsing "x": invalid syntax"#, ""
      ),
      (
        "1.1.", .garbageCollect, 6,
        #"failed to convert micro version part "": strconv.Atoi: parsing "": invalid syntax"#, ""
      ),
      (
        "99999999999999999999.0", .check, 6,
        #"failed to convert major version part "99999999999999999999": "#
          + #"strconv.Atoi: parsing "99999999999999999999": value out of range"#, ""
      ),
      ("1.2.3.4", .check, 6, #"invalid version "1.2.3.4": too many parts"#, ""),
    ] as [(String, CNICommand, Int, String, String)])
  func refused(
    version: String, command: CNICommand, code: Int, message: String, details: String
  ) {
    let error = failure { () throws(CNIError) in try CNIVersion.check(version, for: command) }
    #expect(error == CNIError(CNIErrorCode(rawValue: code), message, details: details))
  }

  @Test("Verbs are known by their bytes")
  func verbs() {
    #expect(CNICommand(rawValue: "CHECK") == .check)
    #expect(CNICommand(rawValue: "CHECK").hashValue == CNICommand.check.hashValue)
    #expect(CNICommand(rawValue: "CHEC\u{212A}") != .check)
    #expect(CNICommand(rawValue: "add") != .add)
    #expect(
      CNICommand.known.map(\.rawValue) == [
        "ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION", "UPDATE",
      ])
    #expect(CNICommand.known.filter { !$0.isKnown }.isEmpty)
    #expect(!CNICommand(rawValue: "NOPE").isKnown)
  }
}
