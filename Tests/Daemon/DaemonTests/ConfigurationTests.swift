import Addresses
import Daemon
import JSON
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Configuration")
struct ConfigurationTests {
  private func read(_ text: String) throws(ConfigurationError) -> Configuration {
    try Configuration(parsing: Array(text.utf8))
  }

  private func fault(_ text: String) -> ConfigurationError? {
    do throws(ConfigurationError) {
      _ = try read(text)
      return nil
    } catch {
      return error
    }
  }

  @Test("an empty object is all defaults")
  func defaults() throws {
    let configuration = try read(" {} ")
    #expect(configuration == Configuration())
    #expect(configuration.socketDirectory == "/run/cnid")
    #expect(configuration.socketPath == "/run/cnid/cnid.sock")
    #expect(configuration.sockets == [])
    #expect(configuration.stateDirectory == "/var/lib/cnid")
    #expect(configuration.defaultPlugin == nil)
    #expect(configuration.binDirectories == ["/opt/cni/bin", "/usr/lib/cni"])
    #expect(configuration.hostRoot == nil)
    #expect(configuration.dataDirectory == "/var/lib/cni/networks")
    #expect(configuration.networkDirectories == [])
    #expect(configuration.maximumConcurrent == 16)
    #expect(configuration.maximumQueued == 512)
    #expect(configuration.requestTimeout == 90)
    #expect(configuration.orphanGrace == 600)
    #expect(configuration.healthAddress == nil)
    #expect(configuration.podCIDR == nil)
    #expect(configuration.logLevel == .info)
    #expect(configuration.logFormat == .text)
    #expect(configuration.logFile == nil)
    #expect(configuration.overrides.isEmpty)
    #expect(configuration.plugins.isEmpty)
  }

  /// A key with a value, and what it changes.
  struct Key: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let apply: @Sendable (inout Configuration) -> Void
    init(_ text: String, _ apply: @escaping @Sendable (inout Configuration) -> Void) {
      testDescription = text
      self.apply = apply
    }
  }

  @Test(
    "every key sets its own value and nothing else",
    arguments: [
      Key(#""socketDir":"/a/b""#) { $0.socketDirectory = "/a/b" },
      Key(#""sockets":["/a.sock","/b/c.sock"]"#) { $0.sockets = ["/a.sock", "/b/c.sock"] },
      Key(#""sockets":[]"#) { $0.sockets = [] },
      Key(#""stateDir":"/s""#) { $0.stateDirectory = "/s" },
      Key(#""defaultPlugin":"macvlan""#) { $0.defaultPlugin = "macvlan" },
      Key(#""binDirs":["/x"]"#) { $0.binDirectories = ["/x"] },
      Key(#""binDirs":[]"#) { $0.binDirectories = [] },
      Key(#""hostRoot":"/host""#) { $0.hostRoot = "/host" },
      Key(#""dataDir":"/d""#) { $0.dataDirectory = "/d" },
      Key(#""allowedPaths":["/x","/y/z"]"#) { $0.allowedPaths = ["/x", "/y/z"] },
      Key(#""networkDirs":["/x","/y/z"]"#) { $0.networkDirectories = ["/x", "/y/z"] },
      Key(#""maxConcurrent":1"#) { $0.maximumConcurrent = 1 },
      Key(#""maxConcurrent":256"#) { $0.maximumConcurrent = 256 },
      Key(#""maxQueued":0"#) { $0.maximumQueued = 0 },
      Key(#""maxQueued":65536"#) { $0.maximumQueued = 65_536 },
      Key(#""requestTimeout":1"#) { $0.requestTimeout = 1 },
      Key(#""requestTimeout":3600"#) { $0.requestTimeout = 3600 },
      Key(#""orphanGrace":0"#) { $0.orphanGrace = 0 },
      Key(#""orphanGrace":604800"#) { $0.orphanGrace = 604_800 },
      Key(#""healthAddress":"127.0.0.1:9090""#) {
        $0.healthAddress = Configuration.SocketAddress("127.0.0.1:9090")
      },
      Key(#""podCIDR":"10.1.2.0/24""#) { $0.podCIDR = IPNetwork("10.1.2.0/24") },
      Key(#""podCIDR":"2001:db8::/64""#) { $0.podCIDR = IPNetwork("2001:db8::/64") },
      Key(#""logLevel":"error""#) { $0.logLevel = .error },
      Key(#""logLevel":"warning""#) { $0.logLevel = .warning },
      Key(#""logLevel":"debug""#) { $0.logLevel = .debug },
      Key(#""logFormat":"json""#) { $0.logFormat = .json },
      Key(#""logFile":"/l/og""#) { $0.logFile = "/l/og" },
      Key(#""overrides":{"a":null}"#) { $0.overrides = JSONObject([("a", .null)]) },
      Key(#""plugins":{"a/b":{"c":1},"d":{}}"#) {
        $0.plugins = ["a/b": JSONObject([("c", 1)]), "d": JSONObject()]
      },
    ])
  func keys(key: Key) throws {
    var expected = Configuration()
    key.apply(&expected)
    #expect(try read("{\(key.testDescription)}") == expected)
  }

  @Test(
    "an address is an IP literal and a port",
    arguments: [
      ("127.0.0.1:9090", "127.0.0.1", 9090), ("0.0.0.0:1", "0.0.0.0", 1),
      ("[::1]:65535", "::1", 65_535), ("[2001:db8::1]:80", "2001:db8::1", 80),
    ] as [(String, String, UInt16)])
  func socketAddress(text: String, address: String, port: UInt16) throws {
    let parsed = try #require(Configuration.SocketAddress(text))
    #expect(parsed.address == IPAddress(address))
    #expect(parsed.port == port)
  }

  @Test(
    "other texts are no address",
    arguments: [
      "", ":", "127.0.0.1", "127.0.0.1:", ":80", "localhost:80", "127.0.0.1:65536", "127.0.0.1:-1",
      "127.0.0.1:+1", "127.0.0.1:80 ", " 127.0.0.1:80", "::1:80", "[::1]", "[::1]:", "[::1:80",
      "127.0.0.1:8a", "127.0.0.1:٣", "127.00.0.1:80", "[fe80::1%eth0]:80", "[]:80",
    ])
  func noSocketAddress(text: String) {
    #expect(Configuration.SocketAddress(text) == nil)
    #expect(
      fault(
        #"{"healthAddress":\#(String(decoding: JSONValue.string(text).bytes, as: UTF8.self))}"#)?
        .key == "healthAddress")
  }

  @Test(
    "a wrong value is one error that names the key and says what it must be",
    arguments: [
      (#""socketDir":"run""#, "socketDir", "must be an absolute path"),
      (#""socketDir":"""#, "socketDir", "must be a string that is not empty"),
      (#""socketDir":null"#, "socketDir", "must be a string that is not empty"),
      (#""socketDir":"/a\u0000b""#, "socketDir", "must be an absolute path"),
      (#""sockets":"/a""#, "sockets", "must be an array of absolute paths"),
      (#""sockets":["/a",1]"#, "sockets[1]", "must be a string that is not empty"),
      (#""sockets":["a"]"#, "sockets[0]", "must be an absolute path"),
      (#""stateDir":1"#, "stateDir", "must be a string that is not empty"),
      (#""defaultPlugin":"""#, "defaultPlugin", "must be a string that is not empty"),
      (#""defaultPlugin":[]"#, "defaultPlugin", "must be a string that is not empty"),
      (#""binDirs":["bin"]"#, "binDirs[0]", "must be an absolute path"),
      (#""binDirs":{}"#, "binDirs", "must be an array of absolute paths"),
      (#""hostRoot":"host""#, "hostRoot", "must be an absolute path"),
      (#""dataDir":"d""#, "dataDir", "must be an absolute path"),
      (#""allowedPaths":["x"]"#, "allowedPaths[0]", "must be an absolute path"),
      (#""allowedPaths":"/x""#, "allowedPaths", "must be an array of absolute paths"),
      (#""networkDirs":["x"]"#, "networkDirs[0]", "must be an absolute path"),
      (#""networkDirs":"/x""#, "networkDirs", "must be an array of absolute paths"),
      (#""maxConcurrent":0"#, "maxConcurrent", "must be a whole number from 1 to 256"),
      (#""maxConcurrent":257"#, "maxConcurrent", "must be a whole number from 1 to 256"),
      (#""maxConcurrent":1.5"#, "maxConcurrent", "must be a whole number from 1 to 256"),
      (
        #""maxConcurrent":"16""#, "maxConcurrent",
        "must be a whole number from 1 to 256 without quotes"
      ),
      (#""maxQueued":-1"#, "maxQueued", "must be a whole number from 0 to 65536"),
      (#""maxQueued":65537"#, "maxQueued", "must be a whole number from 0 to 65536"),
      (#""requestTimeout":0"#, "requestTimeout", "must be a whole number from 1 to 3600"),
      (#""requestTimeout":1e99"#, "requestTimeout", "must be a whole number from 1 to 3600"),
      (#""requestTimeout":true"#, "requestTimeout", "must be a whole number from 1 to 3600"),
      (#""orphanGrace":604801"#, "orphanGrace", "must be a whole number from 0 to 604800"),
      (#""healthAddress":9090"#, "healthAddress", "must be a string that is not empty"),
      (
        #""healthAddress":"localhost:80""#, "healthAddress",
        "must be an IP address and a port, such as 127.0.0.1:9410"
      ),
      (#""podCIDR":"10.1.2.0""#, "podCIDR", "must be a network such as 10.1.2.0/24"),
      (#""podCIDR":"10.1.2.0/33""#, "podCIDR", "must be a network such as 10.1.2.0/24"),
      (
        #""logLevel":"Info""#, "logLevel",
        "must be one of error, warning, info, debug, not \"Info\""
      ),
      (#""logLevel":3"#, "logLevel", "must be one of error, warning, info, debug"),
      (#""logFormat":"xml""#, "logFormat", "must be one of text, json, not \"xml\""),
      (#""logFile":"log""#, "logFile", "must be an absolute path"),
      (#""overrides":[]"#, "overrides", "must be an object"),
      (#""plugins":"macvlan""#, "plugins", "must be an object"),
      (#""plugins":{"macvlan":1}"#, "plugins.macvlan", "must be an object"),
      (#""plugins":{"a":{},"a":{}}"#, "plugins.a", "is given twice"),
      (#""logLevel":"info","logLevel":"info""#, "logLevel", "is given twice"),
      (
        #""socketdir":"/a""#, "socketdir",
        "unknown key (did you mean socketDir?); cnid --help lists the keys"
      ),
      (#""":1"#, "", "unknown key; cnid --help lists the keys"),
      (#""comment":"x""#, "comment", "unknown key; cnid --help lists the keys"),
    ])
  func faults(text: String, key: String, what: String) throws {
    let error = try #require(fault("{\(text)}"))
    #expect(error.key == key)
    #expect(error.fault == what)
    #expect(error.description == (key.isEmpty ? what : "\(key): \(what)"))
  }

  @Test(
    "what is no JSON object is an error about the file", arguments: ["", "[]", "1", "{", "{}x"])
  func noObject(text: String) throws {
    let error = try #require(fault(text))
    #expect(error.key.isEmpty)
    #expect(error.fault == "must be a JSON object" || error.fault.hasPrefix("no JSON: "))
  }

  @Test("the first fault in the file is the one that is told")
  func first() {
    #expect(fault(#"{"logLevel":1,"x":1}"#)?.key == "logLevel")
    #expect(fault(#"{"x":1,"logLevel":1}"#)?.key == "x")
  }
}

@Suite("Configuration: damaged input")
struct ConfigurationFuzzTests {
  @Test("100 000 damaged files do not trap, and what is accepted keeps the rules")
  func damaged() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(100_000, texts: corpus, words: tokens, accepting: 1_000).run(isRead)
    }
  }
}

private let corpus = [
  #"{"socketDir":"/run/cnid","sockets":["/run/multus/multus.sock"],"stateDir":"/s","maxQueued":512}"#,
  #"{"maxConcurrent":16,"requestTimeout":90,"orphanGrace":600,"logLevel":"info","logFormat":"json"}"#,
  #"{"healthAddress":"127.0.0.1:9090","podCIDR":"10.1.2.0/24","logFile":"/var/log/cnid.log"}"#,
  #"{"overrides":{"readinessindicatorfile":null,"a":[1,2]},"plugins":{"macvlan":{"mtu":1400}}}"#,
  #"{ "defaultPlugin" : "macvlan", "binDirs" : [ "/opt/cni/bin" ] }"#,
]

private let tokens = [
  "\"", "{", "}", "[", "]", ",", ":", "null", "1", "-", "e9", "/", "\\u0000", "\"logLevel\":",
  "\"error\"", "99999999999999999999", "[::1]:80", "/33", "é", " ",
]

/// Whether a damaged file is accepted.
private func isRead(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  do throws(ConfigurationError) {
    let configuration = try Configuration(parsing: input)
    precondition(1...256 ~= configuration.maximumConcurrent)
    precondition(0...65_536 ~= configuration.maximumQueued)
    precondition(1...3600 ~= configuration.requestTimeout)
    let paths =
      [configuration.socketDirectory, configuration.stateDirectory, configuration.dataDirectory]
      + configuration.sockets + configuration.binDirectories
    precondition(paths.allSatisfy { $0.utf8.first == 0x2F && !$0.utf8.contains(0) })
    return true
  } catch {
    precondition(!error.description.isEmpty)
    return false
  }
}
