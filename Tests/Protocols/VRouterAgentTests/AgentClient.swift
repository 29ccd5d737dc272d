import Addresses
import FakeVRouter
import JSON
import Linux
import TestSupport

/// A fake agent and one connection to it, on which a test sends what it likes.
final class AgentClient: Sendable {
  let agent: FakeAgent
  private let connection = Locked<Int32>(-1)

  /// Starts an agent at a port of its own and connects.
  init(portFiles: String? = nil) async throws {
    agent = FakeAgent(port: 0, portFiles: portFiles)
    try agent.start()
    try await connect()
  }

  deinit { _ = FileDescriptor(adopting: connection.value) }

  /// Connects anew.
  func connect() async throws {
    let port = agent.port
    let new = try await onThread {
      try TCPSocket.connect(
        IPAddress(v4: 0x7F00_0001), port: port, deadline: soon
      ).release()
    }
    let old = connection.withLock { number in
      defer { number = new }
      return number
    }
    _ = FileDescriptor(adopting: old)
  }

  /// Sends bytes.
  func send(_ text: String) async throws {
    let number = connection.value
    try await onThread {
      try Descriptor.sendAll(number, Array(text.utf8), deadline: soon)
    }
  }

  /// Sends bytes and reads an answer.
  ///
  /// - Parameters:
  ///   - text: what is sent.
  ///   - milliseconds: how long to read; what has come until then is returned.
  ///   - isEnough: what ends the reading, as the end of the connection does; an answer of the
  ///     announced length if nothing else is said.
  /// - Returns: what came.
  /// - Throws: when nothing can be sent.
  func exchange(
    _ text: String, within milliseconds: Int = patience,
    until isEnough: @escaping @Sendable ([UInt8]) -> Bool = AgentClient.isWhole
  ) async throws -> String {
    try await send(text)
    let number = connection.value
    return await onThread {
      let deadline = Deadline.after(milliseconds: milliseconds)
      var bytes: [UInt8] = []
      while !isEnough(bytes),
        (try? deadline.wait(number, for: .read, "read")) != nil
      {
        guard let count = try? Descriptor.read(number, into: &bytes), count > 0 else { break }
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  @Sendable static func isWhole(_ bytes: [UInt8]) -> Bool {
    guard let response = try? RawHTTP.parse(bytes),
      let length = response.header("content-length").flatMap({ Int($0) })
    else { return false }
    return response.body.count >= length
  }

  /// A request whose answer's status and body count.
  func request(
    _ method: String, _ path: String, _ body: String = ""
  ) async throws -> RawHTTP.Response {
    try RawHTTP.parse(
      Array(
        try await exchange(
          "\(method) \(path) HTTP/1.1\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        ).utf8))
  }

  /// Gives the agent a time that only the test moves on, in milliseconds.
  func ownTime() -> Locked<UInt64> {
    let time = Locked(KernelClock.monotonic / 1_000_000)
    agent.change { $0.clock = { time.value } }
    return time
  }

  /// Tells the agent of the pod of the examples.
  func configure(_ interfaces: [AgentInterface]) {
    agent.change {
      $0.configure(VRouterFixture.name, uuid: VRouterFixture.podUID, interfaces)
    }
  }

  /// A body of `POST /vm`.
  func port(_ interface: String, hostLink: String = "tapeth0-5f0c7a") -> String {
    let object: JSONValue = [
      "time": "now", "vm-id": .string(VRouterFixture.c1), "vm-uuid": .string(VRouterFixture.podUID),
      "vm-name": .string(VRouterFixture.name), "host-ifname": .string(hostLink),
      "vm-ifname": "eth0", "vm-namespace": "/var/run/netns/x",
      "vn-uuid": .string(VRouterFixture.vn0), "vmi-uuid": .string(interface),
    ]
    return String(decoding: object.bytes, as: UTF8.self)
  }
}
