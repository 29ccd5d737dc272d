import Addresses
import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("IPAM plugins on disk")
struct ExecutedTests {
  /// A plugin that notes each call in `log`: the verb, a line of `CNI_*`, and its input in
  /// `input.<verb>`.
  private static let noting = """
    d=$(dirname "$0")
    echo "$CNI_COMMAND" >> $d/log
    env | grep ^CNI_ | sort > $d/env.$CNI_COMMAND
    cat > $d/input.$CNI_COMMAND
    """
  private let directory: TemporaryDirectory

  init() throws {
    Signal.ignoreBrokenPipes()
    directory = try TemporaryDirectory()
  }

  private func write(_ body: String) throws {
    try Files.write(
      directory("fake"), Array("#!/bin/sh\n\(Self.noting)\n\(body)\n".utf8),
      mode: [.write, .create, .truncate], permissions: 0o755)
  }

  private func call(
    _ more: String = "{}", milliseconds: Int = 20_000 * Program.patience, version: String = "1.1.0"
  ) throws -> IPAMCall {
    var object: JSONValue = [
      "cniVersion": .string(version), "name": "net", "type": "macvlan", "unknown": [1, 2],
      "ipam": ["type": "fake", "answer": 42],
    ]
    for member in JSONValue(text: more).object?.members ?? [] {
      object = object.setting(member.key, member.value)
    }
    return IPAMCall(
      containerID: "dummy", ifName: "eth0", configuration: try NetworkConfiguration(object.bytes),
      environment: [
        ("CNI_COMMAND", "whatever"), ("CNI_CONTAINERID", "dummy"), ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/some/netns"), ("CNI_ARGS", "A=b"), ("CNI_PATH", "/given"), ("HOME", "/"),
      ], searchPath: ["/no/such", directory.path], deadline: .after(milliseconds: milliseconds))
  }

  private func file(_ name: String) -> String? {
    (try? Files.read(directory(name))).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The error of a verb; nil if it succeeds.
  private func failure(
    _ call: IPAMCall, _ verb: @escaping @Sendable (IPAMDriver) throws -> Void
  ) async throws -> CNIError? {
    try await onThread {
      guard let driver = IPAMDriver(for: call) else { throw TestError("no driver") }
      do {
        try verb(driver)
        return nil
      } catch let error as CNIError {
        return error
      }
    }
  }

  private func add(_ call: IPAMCall) async throws -> CNIResult {
    try await onThread {
      guard let driver = IPAMDriver(for: call) else { throw TestError("no driver") }
      return try driver.add(Permit())
    }
  }

  @Test("ADD: the whole configuration and environment go in, the result of any version comes out")
  func adding() async throws {
    try write(
      #"echo '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.2/24","gateway":"10.0.0.1"}]}'"#
    )
    let call = try call()
    let result = try await add(call)
    let ip = CNIResult.IP(
      address: try #require(IPNetwork("10.0.0.2/24")), gateway: IPAddress("10.0.0.1"))
    #expect(result == CNIResult(ips: [ip]))
    #expect(file("log") == "ADD\n")
    #expect(file("input.ADD") == String(decoding: call.configuration.bytes, as: UTF8.self))
    #expect(
      file("env.ADD") == """
        CNI_ARGS=A=b
        CNI_COMMAND=ADD
        CNI_CONTAINERID=dummy
        CNI_IFNAME=eth0
        CNI_NETNS=/some/netns
        CNI_PATH=/given

        """)
  }

  @Test("A result without a version has the configuration's")
  func versionless() async throws {
    try write(#"echo '{"ip4":{"ip":"10.0.0.2/24"}}'"#)
    #expect(try await add(call(version: "0.2.0")).ips.count == 1)
  }

  @Test("A failed ADD is followed by DEL, and its own error is returned")
  func failedAdd() async throws {
    try write(#"echo '{"code":1234,"msg":"no addresses","details":"d"}'; exit 1"#)
    let error = try await failure(call()) { _ = try $0.add(Permit()) }
    #expect(error == CNIError(CNIErrorCode(rawValue: 1234), "no addresses", details: "d"))
    #expect(file("log") == "ADD\nDEL\n")
    #expect(file("input.DEL") == file("input.ADD"))
  }

  @Test(
    "An ADD that failed by itself needs no other undo, whatever its DEL says",
    arguments: [
      ("[ $CNI_COMMAND = DEL ] || exit 1", "ADD DEL", false),
      ("exit 1", "ADD DEL", true), ("kill -9 $$", "ADD DEL", true),
    ])
  func undone(body: String, calls: String, isTold: Bool) async throws {
    try write(body)
    let told = Locked<[String?]>([])
    _ = try await failure(call()) {
      _ = try $0.add(Permit()) { failure in told.withLock { $0.append(failure) } }
    }
    #expect(told.value.count == 1 && (told.value.first.map { $0 != nil } == isTold))
    #expect(file("log")?.split(separator: "\n").joined(separator: " ") == calls)
  }

  @Test(
    "A program that could not be started has leased nothing",
    arguments: [("#!/no/such/interpreter\n", 0o755), ("#!/bin/sh\n", 0o644)] as [(String, UInt32)])
  func notStarted(text: String, permissions: UInt32) async throws {
    try Files.write(
      directory("fake"), Array(text.utf8), mode: [.write, .create], permissions: permissions)
    let told = Locked<[String?]>([])
    let error = try await failure(call()) {
      _ = try $0.add(Permit()) { failure in told.withLock { $0.append(failure) } }
    }
    #expect(error?.code == .ipam && told.value == [nil])
  }

  @Test(
    "A result that cannot be read is an error of code 103, and DEL follows",
    arguments: ["echo potato", "true", "echo '{\"cniVersion\":\"9.9.9\"}'", "echo '[]'"])
  func unreadable(body: String) async throws {
    try write(body)
    let error = try await failure(call()) { _ = try $0.add(Permit()) }
    #expect(error?.code == .ipam)
    #expect(error?.message.hasPrefix("plugin fake printed no result: ") == true)
    #expect(file("log") == "ADD\nDEL\n")
  }

  @Test("A plugin that fails without an error object is code 103 with libcni's words")
  func wordless() async throws {
    try write("echo oops >&2; exit 7")
    let error = try await failure(call()) { _ = try $0.add(Permit()) }
    #expect(error == CNIError(.ipam, "netplugin failed: oops", details: "oops"))
  }

  @Test("A plugin that sleeps ends at the deadline, and DEL is left to the caller's roll-back")
  func sleeping() async throws {
    try write("exec sleep 600")
    let error = try await failure(call(milliseconds: 5000 * Program.patience)) {
      _ = try $0.add(Permit())
    }
    #expect(error?.code == .deadline)
    #expect(error?.message == "plugin fake did not finish ADD in time")
    #expect(file("log") == "ADD\n")
  }

  @Test("A missing plugin is told with the search path, and nothing is run")
  func missing() async throws {
    let error = try await failure(call()) { _ = try $0.add(Permit()) }
    #expect(
      error
        == CNIError(
          .ipam,
          "failed to find plugin \"fake\" in path [/no/such \(directory.path)]; built in are "
            + "host-local, static, pod-cidr"))
    let second = try await failure(call()) { try $0.delete(Permit()) }
    #expect(second?.code == .ipam)
  }

  @Test("DEL, CHECK and STATUS are passed on, and their errors come back")
  func passedOn() async throws {
    try write("true")
    let verbs: [(String, @Sendable (IPAMDriver) throws -> Void)] = [
      ("DEL", { try $0.delete(Permit()) }), ("CHECK", { try $0.check() }),
      ("STATUS", { try $0.status() }),
    ]
    for (name, verb) in verbs {
      #expect(try await failure(call(), verb) == nil)
      let bytes = try call().configuration.bytes
      #expect(file("input.\(name)") == String(decoding: bytes, as: UTF8.self))
    }
    try write(#"echo '{"code":50,"msg":"not now"}'; exit 1"#)
    for (_, verb) in verbs {
      #expect(try await failure(call(), verb) == CNIError(.notAvailable, "not now"))
    }
  }

  @Test("A plugin that does not know STATUS or GC is ready and has nothing to remove")
  func oldPlugin() async throws {
    try write(#"echo "{\"code\":4,\"msg\":\"unknown CNI_COMMAND: $CNI_COMMAND\"}"; exit 1"#)
    #expect(try await failure(call()) { try $0.status() } == nil)
    #expect(try await failure(call()) { try $0.collectGarbage(valid: [], Permit()) } == nil)
    #expect(file("log") == "STATUS\nGC\n")
    // CHECK has been there since 0.4.0: not knowing it is an error.
    #expect(try await failure(call()) { try $0.check() }?.code == .invalidEnvironment)
  }

  @Test("Debian's plugins, older than STATUS and GC, are ready and have nothing to remove")
  func referenceIsOld() async throws {
    for name in ["static", "host-local"] {
      _ = try Reference.require(name)
      var call = try call()
      call.environment = [("CNI_PATH", Program.referencePlugins)]
      call.searchPath = [Program.referencePlugins]
      let plugin = ExecutedIPAM(name, call)
      try await onThread {
        try plugin.status()
        try plugin.collectGarbage(valid: [], Permit())
      }
    }
  }

  @Test("GC passes a list that is already there on byte for byte")
  func garbageUnchanged() async throws {
    try write("true")
    let list = #"[{"containerID":"a","ifname":"eth0"}]"#
    let call = try call(#"{"cni.dev/valid-attachments":\#(list)}"#)
    let valid = [NetworkConfiguration.Attachment(containerID: "a", ifName: "eth0")]
    #expect(try await failure(call) { try $0.collectGarbage(valid: valid, Permit()) } == nil)
    #expect(file("input.GC") == String(decoding: call.configuration.bytes, as: UTF8.self))
  }

  @Test("GC gives the plugin the caller's list under both keys")
  func garbageList() async throws {
    try write("true")
    let valid = ["a", "b"].map {
      NetworkConfiguration.Attachment(containerID: $0, ifName: "eth0")
    }
    for more in ["{}", #"{"cni.dev/attachments":[]}"#] {
      let call = try call(more)
      #expect(try await failure(call) { try $0.collectGarbage(valid: valid, Permit()) } == nil)
      let seen = JSONValue(text: file("input.GC") ?? "")
      for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        #expect(
          seen[key]
            == JSONValue(
              text: """
                [{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"eth0"}]
                """))
      }
      #expect(seen["ipam"]?["answer"]?.int == 42)
    }
    #expect(try await failure(call()) { try $0.collectGarbage(valid: [], Permit()) } == nil)
    #expect(JSONValue(text: file("input.GC") ?? "")["cni.dev/attachments"] == [])
  }

  @Test("The reference host-local, executed, shares its directory with the one in this process")
  func reference() async throws {
    _ = try Reference.require("host-local")
    let leases = try Leases(directory)
    let configuration = try leases.configuration(
      #"{"subnet":"10.1.2.0/24"}"#, version: Reference.version)
    func call(_ id: String) -> IPAMCall {
      IPAMCall(
        containerID: id, ifName: "eth0", configuration: configuration,
        environment: [
          ("CNI_CONTAINERID", id), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "/no/such"),
          ("CNI_PATH", Program.referencePlugins),
        ], searchPath: [Program.referencePlugins],
        allowedPaths: [TemporaryDirectory.parent], deadline: .after(seconds: 30),
        leases: leases.cache)
    }
    let (mine, theirs) = (call("a"), call("b"))
    let given = try await onThread { () throws -> [String] in
      let executed = ExecutedIPAM("host-local", theirs)
      var results = [try HostLocal(mine).add(Permit()), try executed.add(Permit())]
      try executed.check()
      try executed.delete(Permit())
      results.append(try executed.add(Permit()))
      try HostLocal(theirs).delete(Permit())
      try ExecutedIPAM("host-local", mine).delete(Permit())
      return results.flatMap { $0.ips.map { "\($0.address)" } }
    }
    #expect(given == ["10.1.2.2/24", "10.1.2.3/24", "10.1.2.4/24"])
    #expect(leases.leases == [])
  }

  @Test("The reference static, executed, gives what static gives here")
  func referenceStatic() async throws {
    _ = try Reference.require("static")
    let text = """
      {"cniVersion":"1.0.0","name":"net","type":"x","ipam":{"type":"static",
       "addresses":[{"address":"10.0.0.2/24","gateway":"10.0.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}}
      """
    let call = IPAMCall(
      containerID: "a", ifName: "eth0",
      configuration: try NetworkConfiguration(Array(text.utf8)),
      environment: [
        ("CNI_CONTAINERID", "a"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "/no/such"),
        ("CNI_PATH", "/"),
      ], searchPath: [Program.referencePlugins], deadline: .after(seconds: 30))
    let executed = try await onThread { try ExecutedIPAM("static", call).add(Permit()) }
    #expect(try executed == StaticIPAM(call).add())
  }
}

@Suite("Choosing address management")
struct IPAMDriverTests {
  private func driver(_ ipam: String?) throws -> IPAMDriver? {
    let member = ipam.map { #","ipam":\#($0)"# } ?? ""
    return IPAMDriver(
      for: IPAMCall(
        containerID: "a", ifName: "eth0",
        configuration: try NetworkConfiguration(Array(#"{"name":"net"\#(member)}"#.utf8)),
        deadline: .after(seconds: 30)))
  }

  @Test("ipam.type chooses, and no type means no addresses")
  func choice() throws {
    for none in [nil, "null", "{}", #"{"type":""}"#, #"{"type":null,"subnet":"10.0.0.0/8"}"#] {
      #expect(try driver(none) == nil)
    }
    guard case .hostLocal? = try driver(#"{"type":"host-local"}"#) else {
      Issue.record("host-local")
      return
    }
    guard case .fixed? = try driver(#"{"type":"static"}"#) else {
      Issue.record("static")
      return
    }
    for type in ["dhcp", "whereabouts", "Host-Local", "host-local2"] {
      guard case .executed(let plugin)? = try driver(#"{"type":"\#(type)"}"#) else {
        Issue.record("\(type)")
        return
      }
      #expect(plugin.type == type)
    }
  }

  @Test("Only plugins on disk are other programs")
  func inProcess() throws {
    #expect(try driver(#"{"type":"host-local"}"#)?.order == .beforeLink)
    #expect(try driver(#"{"type":"static"}"#)?.order == .beforeLink)
    #expect(try driver(#"{"type":"dhcp"}"#)?.order == .afterLink)
  }

  @Test("A type that would lead out of the search path is refused before anything is chosen")
  func paths() {
    for type in ["../evil", "/bin/sh", "a/b", "..", "a\\u0000b"] {
      #expect(throws: CNIError.self, "\(type)") { _ = try driver(#"{"type":"\#(type)"}"#) }
    }
  }
}
