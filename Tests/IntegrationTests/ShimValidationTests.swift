import JSON
import Linux
import TestSupport
import Testing

/// What the shim refuses by itself: the checks of the CNI skeleton, their order, codes and texts.
@Suite struct ShimValidationTests {
  @Test(
    "A missing variable is named, code 4",
    arguments: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"])
  func missingVariable(name: String) async throws {
    let result = try await ShimCall("ADD", [name: nil]).run()
    #expect(result.status == .exited(1))
    #expect(result.code == 4)
    #expect(result.message == "required env variables [\(name)] missing")
  }

  @Test("An empty variable is a missing one")
  func emptyVariable() async throws {
    let result = try await ShimCall("ADD", ["CNI_IFNAME": ""]).run()
    #expect(result.code == 4)
    #expect(result.message == "required env variables [CNI_IFNAME] missing")
  }

  @Test("All missing variables are named at once")
  func missingVariables() async throws {
    let result = try await ShimCall(
      "ADD", ["CNI_NETNS": nil, "CNI_IFNAME": nil, "CNI_PATH": nil]
    ).run()
    #expect(result.code == 4)
    #expect(result.message == "required env variables [CNI_NETNS,CNI_IFNAME,CNI_PATH] missing")
  }

  @Test("CNI_ARGS may be missing")
  func noArguments() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Array(#"{"Result":{}}"#.utf8))])
    let result = try await ShimCall("ADD", ["CNI_ARGS": nil]).to(directory).run()
    #expect(result.succeeded, "\(result)")
    #expect(fake.requests.first?.json?.at("env", "CNI_ARGS") == nil)
  }

  @Test("DEL may come without CNI_NETNS")
  func deleteWithoutNamespace() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, [])])
    let result = try await ShimCall("DEL", ["CNI_NETNS": nil]).to(directory).run()
    #expect(result.succeeded && result.output.isEmpty, "\(result)")
    #expect(fake.requests.count == 1)
  }

  @Test("A container id with other characters is refused, also before what else is missing")
  func containerID() async throws {
    let result = try await ShimCall(
      "ADD", ["CNI_CONTAINERID": "some-%%container-id", "CNI_PATH": nil]
    ).run()
    #expect(result.code == 4)
    #expect(result.message == "invalid characters in containerID")
    #expect(result.details == "some-%%container-id")
  }

  @Test("An interface name of 16 bytes is too long")
  func longInterfaceName() async throws {
    let result = try await ShimCall("ADD", ["CNI_IFNAME": "1234567890123456"]).run()
    #expect(result.code == 4)
    #expect(result.message == "interface name is too long")
    #expect(result.details == "interface name should be less than 16 characters")
  }

  @Test("An interface is not called . or ..", arguments: [".", ".."])
  func dots(name: String) async throws {
    let result = try await ShimCall("ADD", ["CNI_IFNAME": name]).run()
    #expect(result.code == 4)
    #expect(result.message == "interface name is . or ..")
  }

  @Test(
    "An interface name holds no slash, colon or white space",
    arguments: ["test/test", "test:test", "test test", "test\ttest", "te\u{A0}st", "te\u{3000}st"])
  func separators(name: String) async throws {
    let result = try await ShimCall("ADD", ["CNI_IFNAME": name]).run()
    #expect(result.code == 4)
    #expect(result.message == "interface name contains / or : or whitespace characters")
  }

  @Test("An unknown version is refused with the list of known ones")
  func unknownVersion() async throws {
    let result = try await ShimCall().with("cniVersion", "9.8.7").run()
    #expect(result.code == 1)
    #expect(result.message == "incompatible CNI versions")
    let known = #"["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#
    let network = #"; network "skel-test""#
    #expect(result.details == #"config is "9.8.7", plugin supports "# + known + network)
  }

  @Test(
    "A version that does not know the verb is refused",
    arguments: [("CHECK", "0.3.0"), ("GC", "0.3.0"), ("STATUS", "1.0.0")])
  func oldVersion(command: String, version: String) async throws {
    let result = try await ShimCall(command).with("cniVersion", .string(version)).run()
    #expect(result.code == 1)
    #expect(result.message?.hasPrefix("\(command) needs cniVersion ") == true)
    #expect(result.message?.hasSuffix("the network says \(version)") == true)
  }

  @Test("A version that is none is a decoding error")
  func garbledVersion() async throws {
    let result = try await ShimCall("CHECK").with("cniVersion", "adsfsadf").run()
    #expect(result.code == 6)
  }

  @Test("A network name with other characters is refused")
  func networkName() async throws {
    let result = try await ShimCall().with("name", "te%%st").run()
    #expect(result.code == 7)
    #expect(result.message == "invalid characters found in network name")
    #expect(result.details == "te%%st")
  }

  @Test("A network has a name")
  func noNetworkName() async throws {
    let result = try await ShimCall().with("name", nil).run()
    #expect(result.code == 7)
    #expect(result.message == "missing network name")
  }

  @Test("The name is looked at even for a command that nobody knows")
  func nameBeforeCommand() async throws {
    let result = try await ShimCall("NOPE").with("name", nil).run()
    #expect(result.message == "missing network name")
  }

  @Test("A command that nobody knows is named")
  func unknownCommand() async throws {
    let result = try await ShimCall("NOPE").run()
    #expect(result.status == .exited(1))
    #expect(result.code == 4)
    #expect(result.message == "unknown CNI_COMMAND: NOPE")
  }

  @Test(
    "VERSION answers at once whatever standard input is",
    arguments: ["<&-", "< <(sleep 20)", "</dev/null"])
  func version(redirection: String) async throws {
    var call = ShimCall("VERSION")
    call.environment = ["CNI_COMMAND": "VERSION"]
    let result = try await call.run(redirected: redirection, within: 10_000)
    #expect(result.succeeded, "\(result)")
    let versions = #"["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]"#
    #expect(result.text == #"{"cniVersion":"1.1.0","supportedVersions":"# + versions + "}\n")
    #expect(result.milliseconds < 3000 * Program.patience)
  }

  @Test("Without a command it says what it is, on standard error, and succeeds")
  func about() async throws {
    var call = ShimCall()
    call.environment = [:]
    let result = try await call.run(redirected: "<&-", within: 10_000)
    #expect(result.succeeded)
    #expect(result.output.isEmpty)
    #expect(
      result.errorText.contains(
        "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"))
  }

  @Test(
    "Standard input that cannot be read is an I/O error", arguments: ["< /", "<&-"])
  func unreadableInput(redirection: String) async throws {
    let result = try await ShimCall().run(redirected: redirection)
    #expect(result.status == .exited(1))
    #expect(result.code == 5)
    #expect(result.message?.hasPrefix("error reading from stdin: ") == true, "\(result)")
  }

  @Test(
    "Standard input that is no configuration is a decoding error", arguments: ["", "{", "[]"])
  func garbledInput(text: String) async throws {
    let environment = ShimCall().environment
    let result = try await Program.run(
      [Program.shim], environment: environment, input: Array(text.utf8))
    #expect(result.status == .exited(1))
    #expect(result.code == 6)
    #expect(result.message?.hasPrefix("error unmarshall network config: ") == true, "\(result)")
  }

  @Test(
    "GC and STATUS need no container, namespace and interface", arguments: ["GC", "STATUS"])
  func fewVariables(command: String) async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, [])])
    let none: [String: String?] = ["CNI_CONTAINERID": nil, "CNI_NETNS": nil, "CNI_IFNAME": nil]
    let result = try await ShimCall(command, none).to(directory).run()
    #expect(result.succeeded && result.output.isEmpty, "\(result)")
    #expect(fake.requests.count == 1)
    let pathless = none.merging(["CNI_PATH": nil]) { $1 }
    let refused = try await ShimCall(command, pathless).to(directory).run()
    #expect(refused.message == "required env variables [CNI_PATH] missing")
  }

  @Test("The shim's own namespace is refused before anything is asked of the daemon")
  func sameNamespace() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Array(#"{"Result":{}}"#.utf8))])
    let call = ShimCall("ADD", ["CNI_NETNS": "/proc/self/ns/net"]).to(directory)
    let result = try await call.run()
    #expect(result.code == 8)
    #expect(
      result.message == "plugin's netns and netns from CNI_NETNS should not be the same")
    #expect(fake.requests.isEmpty)
  }

  @Test(
    "The same namespace is accepted where CNI_NETNS_OVERRIDE says so",
    arguments: ["1", "true", "TRUE"])
  func namespaceOverride(value: String) async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory.socket, [.response(200, Array(#"{"Result":{}}"#.utf8))])
    let changes = ["CNI_NETNS": "/proc/self/ns/net", "CNI_NETNS_OVERRIDE": value]
    let result = try await ShimCall("ADD", changes).to(directory).run()
    #expect(result.succeeded, "\(result)")
    #expect(fake.requests.count == 1)
  }

  @Test("An error names the configuration's version and never repeats the configuration")
  func errorShape() async throws {
    let call = ShimCall("NOPE").with("cniVersion", "1.0.0").with("password", "hunter2")
    let result = try await call.run()
    #expect(result.json?["cniVersion"] == "1.0.0")
    #expect(!result.text.contains("hunter2") && !result.errorText.contains("hunter2"))
    let other = try await call.with("name", "te%%st").run()
    #expect(!other.text.contains("hunter2") && !other.errorText.contains("hunter2"))
  }
}
