import CNI
import JSON
import Linux
import TestSupport
import Testing

/// The real shim, linked as `loopback`, with no daemon anywhere; beside it the reference plugin of
/// Debian's containernetworking-plugins.
@Suite struct LoopbackTests {
  private let directory: TemporaryDirectory
  private let pod: TestPod

  init() async throws {
    directory = try TemporaryDirectory()
    pod = try await TestPod()
    let linked = try await Program.run(["ln", "-s", Program.shim, directory("loopback")])
    try #require(linked.succeeded, "\(linked)")
  }

  private static let reference = "\(Program.referencePlugins)/loopback"

  private func configuration(_ version: String?) -> JSONValue {
    let configuration: JSONValue = [
      "name": "cni-loopback", "type": "loopback", "daemonSocketDir": .string(directory("none")),
    ]
    return configuration.setting("cniVersion", version.map { .string($0) })
  }

  private func run(
    _ command: String, _ version: String? = "1.1.0", _ changes: [String: String?] = [:],
    prevResult: JSONValue? = nil, pod: TestPod? = nil, program: String? = nil
  ) async throws -> ProgramResult {
    try await Program.run(
      [program ?? directory("loopback")],
      environment: (pod ?? self.pod).environment(command, changes),
      input: configuration(version).setting("prevResult", prevResult).bytes)
  }

  private func isUp(_ pod: TestPod? = nil) async throws -> Bool {
    let link = try await (pod ?? self.pod).network.link("lo")
    return link?["flags"]?.array?.contains("UP") ?? false
  }

  /// What two results say, with members in one order and without the empty `dns` that the reference
  /// prints in every version.
  private func content(_ result: ProgramResult) -> String {
    let json = result.json.map { $0["dns"] == [:] ? $0.setting("dns", nil) : $0 } ?? .null
    return String(decoding: json.encoded(.indented(sorted: true)), as: UTF8.self)
  }

  @Test("All verbs without a daemon: up after ADD, down after DEL, and nothing left behind")
  func verbs() async throws {
    let version = try await run("VERSION")
    #expect(version.json == CNIVersion.report, "\(version)")
    for command in ["STATUS", "GC"] {
      let result = try await run(command)
      #expect(result.succeeded && result.output.isEmpty && result.errorOutput.isEmpty)
    }
    #expect(try await run("CHECK").message == "loopback interface is down")
    let added = try await run("ADD")
    #expect(added.succeeded && added.errorOutput.isEmpty, "\(added)")
    #expect(try await isUp())
    #expect(try await pod.network.pings("127.0.0.1"))
    let checked = try await run("CHECK", prevResult: added.json)
    #expect(checked.succeeded && checked.output.isEmpty, "\(checked)")
    for _ in 0..<2 {
      let deleted = try await run("DEL", prevResult: added.json)
      #expect(deleted.succeeded && deleted.output.isEmpty, "\(deleted)")
      #expect(try await !isUp())
    }
    #expect(TemporaryDirectory.files(below: directory.path) == ["loopback"])
  }

  @Test("Without a version it prints byte for byte what the reference prints")
  func oldestVersion() async throws {
    let ours = try await run("ADD", nil)
    let theirs = try await run("ADD", nil, program: Self.reference)
    #expect(ours.succeeded && ours.output == theirs.output, "\(ours)\n\(theirs)")
  }

  @Test("In 1.0.0 it says what the reference says")
  func version100() async throws {
    let ours = try await run("ADD", "1.0.0")
    let theirs = try await run("ADD", "1.0.0", program: Self.reference)
    #expect(ours.succeeded && content(ours) == content(theirs), "\(ours)\n\(theirs)")
  }

  /// The reference prints its own result in the form of 1.0.0 whatever version it was asked for; a
  /// previous result it prints in the right form.
  @Test(
    "What it prints is what the reference prints for this result",
    arguments: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"])
  func versions(version: String) async throws {
    let ours = try await run("ADD", version)
    let theirs = try await run("ADD", version, prevResult: ours.json, program: Self.reference)
    #expect(ours.succeeded && theirs.succeeded, "\(ours)\n\(theirs)")
    if version == "1.0.0" {
      #expect(content(ours) == content(theirs))
    } else {
      #expect(ours.text == theirs.text)
    }
    #expect(ours.json?["cniVersion"]?.string == version)
  }

  @Test("A previous result is passed on as the reference does it")
  func previousResult() async throws {
    let previous: JSONValue = [
      "cniVersion": "0.4.0", "interfaces": [["name": "eth0", "sandbox": .string(pod.netns)]],
      "ips": [["version": "4", "interface": 0, "address": "10.1.2.3/24", "gateway": "10.1.2.1"]],
      "routes": [["dst": "0.0.0.0/0"]], "dns": [:],
    ]
    let ours = try await run("ADD", "0.4.0", prevResult: previous)
    let theirs = try await run("ADD", "0.4.0", prevResult: previous, program: Self.reference)
    #expect(ours.text == theirs.text)
    #expect(ours.json == previous)
    #expect(try await isUp())
  }

  @Test("An address that is none of the machine's own is refused with the reference's words")
  func foreignAddress() async throws {
    for address in ["10.1.1.1/24", "fd00::1/64"] {
      try await pod.network.ip("link set lo up", "address add \(address) dev lo")
      let ours = try await run("ADD", "1.0.0")
      let theirs = try await run("ADD", "1.0.0", program: Self.reference)
      #expect(ours.status == theirs.status && ours.message == theirs.message, "\(ours)\n\(theirs)")
      #expect(ours.code == theirs.code && ours.code == 999)
      try await pod.network.ip("address del \(address) dev lo")
    }
  }

  @Test("CHECK of a link that is down has the reference's words")
  func checkDown() async throws {
    let ours = try await run("CHECK", "1.0.0")
    let theirs = try await run("CHECK", "1.0.0", program: Self.reference)
    #expect(ours.status == theirs.status && ours.code == theirs.code)
    #expect(ours.message == theirs.message && ours.message != nil)
  }

  @Test("A namespace that is not there fails ADD and CHECK and is no matter for DEL")
  func missingNamespace() async throws {
    let gone = ["CNI_NETNS": Optional("/no/such/netns")]
    for command in ["ADD", "CHECK"] {
      let result = try await run(command, "1.1.0", gone)
      #expect(result.code == 5, "\(result)")
      #expect(result.message == "failed to open netns \"/no/such/netns\"")
    }
    #expect(try await run("DEL", "1.1.0", gone).succeeded)
    #expect(try await run("DEL", "1.1.0", ["CNI_NETNS": nil]).succeeded)
    pod.network.closePath()
    #expect(try await run("DEL").succeeded)
  }

  @Test("Twenty in parallel")
  func parallel() async throws {
    var pods: [TestPod] = []
    for number in 0..<20 { pods.append(try await TestPod("p\(number)")) }
    let results = try await withThrowingTaskGroup(of: ProgramResult.self) { group in
      for pod in pods { group.addTask { try await run("ADD", "0.3.1", pod: pod) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(results.count == 20 && results.allSatisfy { $0.succeeded })
    for pod in pods { #expect(try await isUp(pod)) }
  }

  @Test("Under any other name it is the shim")
  func otherName() async throws {
    let result = try await run("STATUS", program: Program.shim)
    #expect(result.code == 50, "\(result)")
  }
}
