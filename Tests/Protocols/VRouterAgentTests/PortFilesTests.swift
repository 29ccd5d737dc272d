import Addresses
import JSON
@_spi(Journal) import Linux
import TestSupport
import Testing

@testable import VRouterAgent

@Suite("Port files")
struct PortFilesTests {
  private let directory: TemporaryDirectory
  private let files: PortFiles
  private let pod: String

  init() throws {
    directory = try TemporaryDirectory()
    files = PortFiles(directory: directory("contrail/ports/vm"))
    pod = "\(files.directory)/\(Fixture.name)"
  }

  /// Puts a file into the pod's directory.
  private func put(_ name: String, _ text: String) throws {
    try Files.makeDirectories(pod)
    try Files.write("\(pod)/\(name)", Array(text.utf8), mode: [.write, .create, .truncate])
  }

  /// Leaves what a killed write leaves.
  private func leaveTemporary(_ interface: VRouterUUID) throws {
    let area = directory("contrail/ports/.cni")
    try Files.makeDirectories(area)
    try Files.write("\(area)/tmp-\(interface)", Array("torn".utf8), mode: [.write, .create])
  }

  @Test("A file is where the agent looks for it, with the nine members in the original's layout")
  func write() throws {
    try files.write(Fixture.port, Permit())
    let path = "\(pod)/\(Fixture.vmi0)"
    let text = String(decoding: try Files.read(path), as: UTF8.self)
    let time = try #require(JSONValue(text: text)["time"]?.string)
    #expect(!time.isEmpty)
    #expect(
      text == """
        {
        \t"time": "\(time)",
        \t"vm-id": "\(Fixture.container)",
        \t"vm-uuid": "\(Fixture.pod)",
        \t"vm-name": "k8s__default__web-0",
        \t"host-ifname": "tapeth0-5f0c7a",
        \t"vm-ifname": "eth0",
        \t"vm-namespace": "/var/run/netns/x",
        \t"vn-uuid": "\(Fixture.vn0)",
        \t"vmi-uuid": "\(Fixture.vmi0)"
        }
        """)
    #expect(try Files.status(path).permissions == 0o644)
    #expect(try Files.status(pod).permissions == 0o755)
    #expect(try Files.status(files.directory).permissions == 0o755)
    #expect(
      TemporaryDirectory.files(below: directory.path) == [
        "contrail/ports/vm/\(Fixture.name)/\(Fixture.vmi0)"
      ])
  }

  @Test("A file has its permissions whatever the daemon's umask is")
  func umask() async throws {
    await #expect(processExitsWith: .success) {
      Linux.Process.setFileCreationMask(0o077)
      let directory = try TemporaryDirectory()
      let files = PortFiles(directory: directory("vm"))
      try files.write(Fixture.port, Permit())
      let pod = "\(files.directory)/\(Fixture.name)"
      let file = try Files.status("\(pod)/\(Fixture.vmi0)").permissions
      let parent = try Files.status(pod).permissions
      precondition(file == 0o644 && parent == 0o755)
    }
  }

  @Test("A file is replaced whole, and what a killed write left does not matter")
  func replace() throws {
    try put(Fixture.vmi0.text, "")
    try leaveTemporary(Fixture.vmi0)
    try files.write(Fixture.port, Permit())
    #expect(try files.list(name: Fixture.name).map(\.containerID) == [Fixture.container])
    #expect(TemporaryDirectory.files(below: files.directory).count == 1)
  }

  @Test("What is written is read again, ordered by interface")
  func list() throws {
    var second = Fixture.port
    second.interface = Fixture.vmi1
    second.ifName = "net1"
    try files.write(second, Permit())
    try files.write(Fixture.port, Permit())
    var expected = PortFile(interface: Fixture.vmi0)
    expected.containerID = Fixture.container
    expected.ifName = "eth0"
    expected.hostLink = "tapeth0-5f0c7a"
    expected.netns = "/var/run/netns/x"
    expected.uuid = Fixture.pod
    expected.network = Fixture.vn0
    expected.isReadable = true
    var other = expected
    other.interface = Fixture.vmi1
    other.ifName = "net1"
    #expect(try files.list(name: Fixture.name) == [expected, other])
    #expect(try files.names() == [Fixture.name])
  }

  @Test("A file of the agent's own writing is read as well")
  func agentsOwn() throws {
    let text = """
      {
          "vm-id": "c1",
          "vm-uuid": "\(Fixture.pod)",
          "vm-name": "\(Fixture.name)",
          "host-ifname": "tapeth0-5f0c7a",
          "vm-ifname": "eth0",
          "vm-namespace": "/x",
          "vn-uuid": "\(Fixture.vn0)",
          "vmi-uuid": "\(Fixture.vmi0)",
          "author": "/usr/bin/contrail-vrouter-agent",
          "time": "460818:14:49.935126"
      }
      """
    try put(Fixture.vmi0.text, text)
    let file = try #require(try files.list(name: Fixture.name).first)
    #expect(file.isReadable && file.containerID == "c1" && file.uuid == Fixture.pod)
  }

  /// Content that is no port's, and whether it is JSON at all.
  static let damagedTexts = [
    ("", false), ("{", false), ("[]", false), ("null", false), ("{\"vm-id\":\"c1\"", false),
    ("\u{0}\u{0}\u{0}", false), (String(repeating: " ", count: 70_000) + "{}", false), ("{}", true),
    ("{\"vm-id\":5,\"vm-uuid\":\"x\"}", true),
  ]

  @Test("A damaged file is listed by its interface alone", arguments: damagedTexts)
  func damaged(_ text: String, _ isReadable: Bool) throws {
    try put(Fixture.vmi0.text, text)
    var expected = PortFile(interface: Fixture.vmi0)
    expected.isReadable = isReadable
    #expect(try files.list(name: Fixture.name) == [expected])
  }

  @Test("A file of which some members are missing has the others")
  func incomplete() throws {
    try put(Fixture.vmi0.text, #"{"vm-id":"C1","vm-ifname":"eth0"}"#)
    let file = try #require(try files.list(name: Fixture.name).first)
    #expect(file.isReadable && file.containerID == "C1" && file.ifName == "eth0")
    #expect(file.uuid == nil && file.network == nil && file.hostLink == "")
  }

  @Test("Other files, and what is no file, are passed over and stay")
  func foreign() throws {
    try files.write(Fixture.port, Permit())
    let upper = Fixture.vmi1.text.uppercased()
    for name in [".lock", "\(Fixture.vmi1).tmp", upper, "readme"] { try put(name, "{}") }
    try Files.makeDirectory("\(pod)/\(Fixture.vmi1)")
    let listed = try files.list(name: Fixture.name)
    #expect(listed.map(\.interface) == [Fixture.vmi0, Fixture.vmi1])
    #expect(listed.map(\.isReadable) == [true, false])
    try files.remove(name: Fixture.name, interfaces: [Fixture.vmi0], Permit())
    #expect(
      Set(try Files.list(pod)) == [
        ".lock", "\(Fixture.vmi1).tmp", upper, "readme", Fixture.vmi1.text,
      ])
  }

  @Test("Removing takes the directory along once it is empty, and can be repeated")
  func remove() throws {
    var second = Fixture.port
    second.interface = Fixture.vmi1
    for port in [Fixture.port, second] { try files.write(port, Permit()) }
    try leaveTemporary(Fixture.vmi1)
    try files.remove(name: Fixture.name, interfaces: [Fixture.vmi0], Permit())
    #expect(try files.list(name: Fixture.name).map(\.interface) == [Fixture.vmi1])
    for _ in 1...2 {
      try files.remove(name: Fixture.name, interfaces: [Fixture.vmi1, Fixture.vmi0], Permit())
      #expect(try Files.list(files.directory).isEmpty)
      #expect(TemporaryDirectory.files(below: directory.path).isEmpty)
    }
    #expect(try files.names().isEmpty && files.list(name: Fixture.name).isEmpty)
  }

  @Test("A file that cannot be removed is an error, and the others are gone")
  func notRemoved() async throws {
    let outcome = try await onThread { () throws -> [String] in
      for interface in [Fixture.vmi0, Fixture.vmi1] {
        var port = Fixture.port
        port.interface = interface
        try files.write(port, Permit())
      }
      // What something is mounted on cannot be removed.
      try TestMounts.mount("/dev/null", on: "\(pod)/\(Fixture.vmi0)")
      let failure = failure { () throws(VRouterError) in
        try files.remove(name: Fixture.name, interfaces: [Fixture.vmi0, Fixture.vmi1], Permit())
      }
      return [failure] + (try Files.list(pod))
    }
    #expect(outcome == ["unlink \(pod)/\(Fixture.vmi0) EBUSY", Fixture.vmi0.text])
  }

  @Test("A directory in the place of a file is nobody's port, and stays")
  func directoryInPlace() throws {
    var second = Fixture.port
    second.interface = Fixture.vmi1
    try files.write(second, Permit())
    try Files.makeDirectory("\(pod)/\(Fixture.vmi0)")
    try files.remove(name: Fixture.name, interfaces: [Fixture.vmi0, Fixture.vmi1], Permit())
    #expect(try Files.list(pod) == [Fixture.vmi0.text])
  }

  @Test("On a read-only disk removing what is not there succeeds, and what is there stays")
  func readOnlyDisk() async throws {
    let outcome = try await onThread { () throws -> [String] in
      try Files.makeDirectories(files.directory)
      try TestMounts.mountTwoPages(on: files.directory)
      try files.write(Fixture.port, Permit())
      try TestMounts.makeReadOnly(files.directory)
      return [Fixture.name, "k8s__default__web-1"].map { name in
        failure { () throws(VRouterError) in
          try files.remove(name: name, interfaces: [Fixture.vmi0], Permit())
        }
      }
    }
    #expect(outcome == ["unlink \(pod)/\(Fixture.vmi0) EROFS", ""])
  }

  private func failure(_ work: () throws(VRouterError) -> Void) -> String {
    do throws(VRouterError) {
      try work()
      return ""
    } catch {
      guard case .file(let error) = error.reason else { return "\(error)" }
      return "\(error.operation) \(error.object) \(error.errno.name)"
    }
  }

  @Test("Without a directory there is nothing to list and nothing to remove")
  func nothing() throws {
    #expect(try files.list(name: Fixture.name).isEmpty && files.names().isEmpty)
    try files.remove(name: Fixture.name, interfaces: [Fixture.vmi0], Permit())
    #expect(TemporaryDirectory.files(below: directory.path).isEmpty)
  }

  @Test("A place where no file can be made is an error, and nothing is left")
  func unwritable() throws {
    try Files.write(directory("contrail"), [], mode: [.write, .create])
    #expect(throws: VRouterError.self) { try files.write(Fixture.port, Permit()) }
    try Files.remove(directory("contrail"))
    // What has the file's name is a directory.
    try Files.makeDirectories("\(pod)/\(Fixture.vmi0)")
    #expect(throws: VRouterError.self) { try files.write(Fixture.port, Permit()) }
    #expect(try Files.list(files.directory) == [Fixture.name])
  }

  @Test(
    "A name that leads out of the directory, or that the agent would not see as it is, is refused",
    arguments: [
      "", ".", "..", "a/b", "../x", "a\u{0}b", "a b", "a?b", "a#b", "é", "a\nb",
      String(repeating: "a", count: 256),
    ])
  func names(_ name: String) async throws {
    var port = Fixture.port
    port.name = name
    #expect(throws: VRouterError(.invalidName(name))) { try files.write(port, Permit()) }
    #expect(throws: VRouterError(.invalidName(name))) { try files.list(name: name) }
    #expect(throws: VRouterError(.invalidName(name))) {
      try files.remove(name: name, interfaces: [], Permit())
    }
    #expect(TemporaryDirectory.files(below: directory.path).isEmpty)
  }

  @Test("Only a container's own files can be deleted, whatever else is in the directory")
  func canDelete() throws {
    var foreign = Fixture.port
    foreign.interface = Fixture.vmi1
    foreign.containerID = "other"
    for port in [Fixture.port, foreign] { try files.write(port, Permit()) }
    try put(".lock", "")
    try put("0b6d9c54-8e1f-11ee-9c2a-525400a1b2c3", "")
    let agent = VRouter(
      server: .init(v4: 0x7F00_0001), port: 9, files: files, pollMilliseconds: 1, pollRetries: 1)
    func owned(_ container: String) throws -> [VRouterUUID] {
      try agent.canDelete(name: Fixture.name, containerID: container).map(\.interface)
    }
    #expect(try owned(Fixture.container) == [Fixture.vmi0])
    #expect(try owned("other") == [Fixture.vmi1])
    #expect(try owned("") == [] && owned("third") == [])
  }
}
