import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// The agent of the tests remembers and forgets as the real one does.
@Suite struct AgentMemoryTests {
  typealias Fixture = VRouterFixture
  private static let missing = "{\"error\":\"{ Not Found }\"}"
  private static let cfg = "/vm-cfg/\(Fixture.name)"
  private static let machine = "/vm/\(Fixture.podUID)"

  @Test("A pod's list is there once it has interfaces, and every one's network is known")
  func configuration() async throws {
    let client = try await AgentClient()
    func status() async throws -> Int { try await client.request("GET", Self.cfg).status }
    #expect(try await client.request("GET", Self.cfg).text == Self.missing)
    client.configure([])
    #expect(try await status() == 404)
    var unknown = Fixture.interface(Fixture.vmi0)
    unknown.isNetworkKnown = false
    client.configure([unknown, Fixture.interface(Fixture.vmi1)])
    #expect(try await status() == 404)
    client.configure(Fixture.two.reversed())
    let list = try await client.request("GET", Self.cfg)
    #expect(list.status == 200)
    #expect(list.json?.array?.compactMap { $0["id"]?.string } == [Fixture.vmi0, Fixture.vmi1])
    #expect(list.json?.at(0, "vlan-id") == 65535 && list.json?.at(0, "sub-interface") == false)
  }

  @Test("The list is laid out as the agent's, object by object, its members in their order")
  func layout() async throws {
    let client = try await AgentClient()
    var second = Fixture.interface(Fixture.vmi1)
    second.annotations = nil
    client.configure([Fixture.interface(Fixture.vmi0), second])
    let text = try await client.request("GET", Self.cfg).text
    #expect(text.hasPrefix("[{\n    \"id\": \"\(Fixture.vmi0)\",\n    \"vm-uuid\": "))
    #expect(text.hasSuffix("\n}]") && text.contains("\n},{\n"))
    let objects = try #require(try JSONValue.parse(Array(text.utf8)).array)
    let keys = [
      "id", "vm-uuid", "vn-id", "vn-name", "mac-address", "sub-interface", "vlan-id",
    ]
    #expect(objects.map { $0.object?.keys } == [keys + ["annotations"], keys])
  }

  @Test("A port is there a while after its POST, with its addresses")
  func ports() async throws {
    let client = try await AgentClient()
    client.configure(Fixture.two)
    let time = client.ownTime()
    client.agent.change { $0.visibleDelay = 300 }
    let path = "\(Self.machine)/\(Fixture.vmi0)"
    #expect(try await client.request("GET", path).text == Self.missing)
    #expect(try await client.request("POST", "/vm", client.port(Fixture.vmi0)).text == "{}")
    time.withLock { $0 += 299 }
    #expect(try await client.request("GET", path).status == 404)
    time.withLock { $0 += 1 }
    let port = try #require(try await client.request("GET", path).json?.at(0))
    #expect(
      port.object?.keys == [
        "id", "instance-id", "vn-id", "vm-project-id", "mac-address", "system-name", "rx-vlan-id",
        "tx-vlan-id", "vhostuser-mode", "ip-address", "plen", "dns-server", "gateway", "author",
        "time",
      ])
    #expect(port["ip-address"] == "10.47.255.231" && port["plen"] == 12)
    #expect(port["system-name"] == "tapeth0-5f0c7a" && port["instance-id"]?.string != nil)
    let age = port["time"]?.string?.split(separator: ":").map(String.init) ?? []
    #expect(age.count == 3 && age[1].utf8.count == 2 && age[2].utf8.count == 9)

    // All of a virtual machine's interfaces, or nothing; one of them whatever machine is named.
    #expect(try await client.request("GET", Self.machine).status == 404)
    #expect(try await client.request("GET", "/vm/\(Fixture.vn0)/\(Fixture.vmi0)").status == 200)
    client.agent.change { $0.visibleDelay = 0 }
    _ = try await client.request("POST", "/vm", client.port(Fixture.vmi1, hostLink: "tap1"))
    let all = try await client.request("GET", Self.machine)
    #expect(all.json?.array?.compactMap { $0["id"]?.string } == [Fixture.vmi0, Fixture.vmi1])
    client.agent.change { $0.interfaces[Fixture.vmi1]?.ipv4 = nil }
    #expect(try await client.request("GET", Self.machine).status == 404)
  }

  @Test("In a nested cluster a port needs no POST")
  func nested() async throws {
    let client = try await AgentClient()
    client.configure(Fixture.one)
    client.agent.change { $0.isNested = true }
    #expect(try await client.request("GET", Self.machine).status == 200)
  }

  @Test(
    "A port object that lacks something is refused in the agent's words",
    arguments: [
      ("", "Invalid Json string ==> "), ("{", "Invalid Json string ==> {"),
      ("[]", "Unexpected Json string ==> []"), ("{}", "Invalid or missing data for <vm-uuid>"),
      ("vn-uuid", "Invalid or missing data for <vn-uuid>"),
      ("vmi-uuid", "Invalid or missing data for <vmi-uuid>"),
      ("host-ifname", "Invalid or missing field for <host-ifname>"),
      ("vm-name", "Invalid or missing field for <vm-name>"),
    ])
  func refused(body: String, text: String) async throws {
    let client = try await AgentClient()
    var sent = body
    if body.contains("-") {
      sent = String(
        decoding: JSONValue(text: client.port(Fixture.vmi0)).setting(body, 7).bytes, as: UTF8.self)
    }
    let answer = try await client.request("POST", "/vm", sent)
    #expect(answer.status == 500)
    #expect(answer.json == ["error": .string("{ \(text) }")])
    #expect(client.agent.subscriptions == [])
  }

  @Test("The first link that a port was posted with stays until it is deleted")
  func hostLink() async throws {
    let client = try await AgentClient()
    client.configure(Fixture.one)
    func link() async throws -> String? {
      try await client.request("GET", Self.machine).json?.at(0, "system-name")?.string
    }
    for name in ["tap-a", "tap-b"] {
      _ = try await client.request("POST", "/vm", client.port(Fixture.vmi0, hostLink: name))
      #expect(try await link() == "tap-a")
    }
    #expect(try await client.request("DELETE", Self.machine).text == "{}")
    #expect(client.agent.subscriptions == [])
    #expect(try await client.request("DELETE", "/vm/\(Fixture.vn0)").status == 200)
    _ = try await client.request("POST", "/vm", client.port(Fixture.vmi0, hostLink: "tap-b"))
    #expect(try await link() == "tap-b")
  }

  @Test("A port whose configuration went first cannot be deleted any more")
  func configurationFirst() async throws {
    let client = try await AgentClient()
    client.configure(Fixture.one)
    _ = try await client.request("POST", "/vm", client.port(Fixture.vmi0))
    client.agent.change { $0.deleteConfiguration(Fixture.name, uuid: Fixture.podUID) }
    #expect(try await client.request("DELETE", Self.machine).status == 200)
    #expect(client.agent.subscriptions.count == 1)
  }

  @Test("An old pod's end erases the name of the new one, if the agent has that fault")
  func names() async throws {
    for isFaulty in [true, false] {
      let client = try await AgentClient()
      client.agent.change { memory in
        memory.forgetsNewerNames = isFaulty
        memory.configure(Fixture.name, uuid: Fixture.vn0, [Fixture.interface(Fixture.vmi1)])
        memory.configure(Fixture.name, uuid: Fixture.podUID, Fixture.one)
        memory.deleteConfiguration(Fixture.name, uuid: Fixture.vn0)
      }
      #expect(try await client.request("GET", Self.cfg).status == (isFaulty ? 404 : 200))
    }
  }

  @Test("/syncports is a fault of the client, because it unplugs every pod")
  func syncPorts() async throws {
    let client = try await AgentClient()
    #expect(try await client.request("POST", "/syncports").status == 200)
    #expect(client.agent.violations.count == 1)
  }

  @Test("A port that has no file yet gets the agent's own")
  func ownFile() async throws {
    let directory = try TemporaryDirectory()
    let client = try await AgentClient(portFiles: directory.path)
    _ = try await client.request("POST", "/vm", client.port(Fixture.vmi0))
    let file = directory("\(Fixture.name)/\(Fixture.vmi0)")
    let port = try JSONValue.parse(try Files.read(file))
    #expect(port["host-ifname"] == "tapeth0-5f0c7a" && port["author"] != nil)
    try Files.write(file, [0x20], mode: [.write, .truncate])
    _ = try await client.request("POST", "/vm", client.port(Fixture.vmi0))
    #expect(try Files.read(file) == [0x20])
  }

  @Test("A start forgets the ports and reads their files, those whose link is there")
  func restart() async throws {
    let directory = try TemporaryDirectory()
    let client = try await AgentClient(portFiles: directory.path)
    let time = client.ownTime()
    client.configure(Fixture.two)
    for id in [Fixture.vmi0, Fixture.vmi1] {
      _ = try await client.request("POST", "/vm", client.port(id))
    }
    // lo stands for a link of the node: it is always there.
    try Files.makeDirectory(directory("pod"))
    let there = Array(client.port(Fixture.vmi0, hostLink: "lo").utf8)
    let files: [String: [UInt8]] = [
      "\(Fixture.vmi0).tmp": there, Fixture.vmi2: there.dropLast(5) + [],
      ".x\(Fixture.vmi1)": Array(client.port(Fixture.vmi1, hostLink: "lo").utf8),
      Fixture.vn0: [], Fixture.vn1: Array(client.port(Fixture.vmi2).utf8),
    ]
    for (name, bytes) in files {
      try Files.write(directory("pod/\(name)"), bytes, mode: [.write, .create])
    }
    #expect(client.agent.subscriptions.count == 2)
    let agent = client.agent
    try await onThread { try agent.restart(gap: 50, configurationAfter: 400) }
    #expect(agent.subscriptions.map(\.interface) == [Fixture.vmi0])
    #expect(agent.memory.hostLinks == [Fixture.vmi0: "lo"])
    try await client.connect()
    #expect(try await client.request("GET", Self.cfg).status == 404)
    time.withLock { $0 += 400 }
    #expect(try await client.request("GET", Self.cfg).status == 200)
  }

  @Test("Nobody listens while it is away, and its connections end")
  func away() async throws {
    let client = try await AgentClient()
    client.agent.script("GET", "/vm-cfg", [.hang])
    try await client.send("GET /vm-cfg/a HTTP/1.1\r\n\r\n")
    let agent = client.agent
    #expect(try await eventually { agent.requests.count == 1 })
    await onThread { agent.stop() }
    #expect(!agent.isRunning)
    await #expect(throws: SystemError.self) { try await client.connect() }
    try agent.start()
    try await client.connect()
    #expect(agent.requests.first?.answered == nil && agent.requests.first?.status == nil)
  }
}
