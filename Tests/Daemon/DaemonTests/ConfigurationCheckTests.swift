import CNI
import Daemon
import JSON
import Linux
import TestSupport
import Testing

@Suite("--check-config finds everything at once")
struct ConfigurationCheckTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func write(_ name: String, _ text: String) throws -> String {
    try Files.write(directory(name), Array(text.utf8), mode: [.write, .create, .truncate])
    return directory(name)
  }

  private let plugins = [
    RecordingPlugin("macvlan", keys: KeyTable(["master", "mtu"])), RecordingPlugin("ovs"),
  ]

  @Test("of cnid.json: every key's fault, and what is good by itself and wrong all the same")
  func daemon() throws {
    let long = "/" + String(repeating: "x", count: 120)
    let file = try write(
      "cnid.json",
      #"{"maxQueued":"many","logLevl":"info","socketDir":"\#(long)","defaultPlugin":"macvlann","#
        + #""plugins":{"osv":{},"macvlan":{"mastr":"eth0"}},"logFile":"/no/such/cnid.log","#
        + #""hostRoot":"/no/host"}"#)
    let found = ConfigurationCheck(file: file).faults(plugins)
    #expect(
      found == [
        "\(file): maxQueued: must be a whole number from 0 to 65536",
        "\(file): logLevl: unknown key (did you mean logLevel?); cnid --help lists the keys",
        #"\#(file): defaultPlugin: no plugin "macvlann"; there are macvlan and ovs"#,
        #"\#(file): plugins.osv: no plugin "osv"; there are ovs and macvlan"#,
        "\(file): socketDir: \(long)/cnid.sock has 131 bytes; the path of a socket has at most 107",
        "\(file): hostRoot: there is no directory /no/host",
        "\(file): logFile: there is no directory /no/such",
        #"\#(file): plugins.macvlan: unknown key "mastr" (did you mean "master"?)"#,
      ])
  }

  /// A network's file, and what is wrong with it.
  static let networks: [(String, [String])] = [
    (#"{"name":"n","type":"macvlan","master":"m0"}"#, []),
    (
      #"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"macvlan"},{"type":"portmap","x":1}]}"#,
      []
    ),
    ("{\n \"name\": \"n\",\n}", [#"no JSON: line 3, column 1: "}" after a comma"#]),
    ("", ["no JSON: it is empty"]),
    ("[]", ["array found where an object belongs"]),
    (
      #"{"name":"n","type":"macvlan","mastr":"m0","ipam":{"type":"host-local","subnt":"x"}}"#,
      [
        #"unknown key "mastr" (did you mean "master"?)"#,
        #"unknown key "ipam.subnt" (did you mean "subnet"?)"#,
        "no IP ranges specified: ipam has no subnet, in ranges or by itself",
      ]
    ),
    (
      #"{"name":"n","cniVersoin":"1.0.0","plugins":[{"plugin":"osv"},{"type":"macvlan","mtuu":1}]}"#,
      [
        #"unknown key "cniVersoin" (did you mean "cniVersion"?)"#,
        #"plugins[0]: no plugin "osv"; this cnid has: macvlan, ovs"#,
        #"plugins[1]: unknown key "mtuu" (did you mean "mtu"?)"#,
      ]
    ),
    (#"{"plugins":[{"type":"macvlan"}]}"#, ["plugins[0]: missing network name"]),
    (#"{"name":"n","plugins":[]}"#, ["plugins is empty"]),
    (#"{"name":"n","plugins":[{"type":"bridge"}]}"#, ["no type in it is a plugin of this cnid"]),
    (#"{"name":"n","type":"bridge"}"#, ["its type is no plugin of this cnid"]),
  ]

  @Test("of a network's file", arguments: networks)
  func network(text: String, faults: [String]) throws {
    let daemon = try write("cnid.json", "{}")
    let file = try write("10-net.conflist", text)
    let check = ConfigurationCheck(file: daemon, networks: [file])
    #expect(check.files == [daemon, file])
    #expect(check.faults(plugins) == faults.map { "\(file): \($0)" })
  }

  @Test("a file that is not there is a fault")
  func missing() throws {
    let check = ConfigurationCheck(
      file: directory("none.json"), mayBeMissing: true, networks: [directory("none")])
    #expect(check.faults(plugins).map { $0.hasPrefix("\(directory("none")): open ") } == [true])
  }

  @Test("files in networkDirs are read too, and a directory that is not there may still come")
  func directories() throws {
    let daemon = try write(
      "cnid.json", #"{"networkDirs":["\#(directory.path)/net.d","/no/such/directory"]}"#)
    try Files.makeDirectory(directory("net.d"))
    for (name, text) in [
      ("1.conf", "{"), ("2.conf", #"{"name":"n","type":"bridge"}"#),
      ("3.conf", #"{"name":"n","type":"macvlan"}"#),
    ] {
      _ = try write("net.d/\(name)", text)
    }
    let found = ConfigurationCheck(file: daemon).faults(plugins)
    #expect(found.count == 2)
    #expect(found.first?.hasPrefix("\(directory("net.d/1.conf")): error parsing ") == true)
    #expect(
      found.last == "\(directory("net.d/3.conf")): it names network \"n\", as "
        + "\(directory("net.d/2.conf")) does, which counts")
  }
}
