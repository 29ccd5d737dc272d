import JSON
import Linux
import OVSDB
import TestSupport
import Testing

@Suite("Locks of a real ovsdb-server", .openVSwitch)
struct LockTests {
  /// Asks for the lock on a connection of its own, which the caller keeps.
  private static func lock(_ path: String) throws -> (FileDescriptorHolder, Bool?) {
    let holder = FileDescriptorHolder(try UnixSocket.connect(path))
    let request: JSONValue = ["method": "lock", "params": ["x"], "id": 1]
    try Descriptor.sendAll(holder.number, request.bytes, deadline: soon)
    try soon.wait(holder.number, for: .read, "read")
    var bytes: [UInt8] = []
    _ = try Descriptor.read(holder.number, into: &bytes)
    return (holder, try JSONValue.parse(bytes).at("result", "locked")?.bool)
  }

  private final class FileDescriptorHolder: Sendable {
    private let descriptor: FileDescriptor
    var number: Int32 { descriptor.rawValue }
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  @Test("Many threads may ask for one lock at a time, each is told, and none keeps it")
  func asking() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let asked = try await withThrowingTaskGroup(of: [Bool].self) { group in
      for _ in 0..<8 {
        group.addTask {
          try await onThread { () throws(OVSDBError) in
            var held: [Bool] = []
            for _ in 0..<50 { held.append(try client.isLockHeld("x", deadline: soon)) }
            return held
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(asked == Array(repeating: false, count: 400))
    let (holder, isOurs) = try await onThread { try Self.lock(fixture.server.socket) }
    #expect(isOurs == true)
    #expect(try await onThread { try client.isLockHeld("x", deadline: soon) })
    withExtendedLifetime(holder) {}
  }

  @Test("A question that is given up leaves no lock behind")
  func givenUp() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    _ = try await onThread { try client.schema(deadline: soon) }
    fixture.server.pause()
    let late = await outcome { () throws(OVSDBError) in
      try client.isLockHeld("x", deadline: .after(milliseconds: 100))
    }
    fixture.server.resume()
    #expect(late.error == .timedOut("wait for the answer to lock"))
    // Its answer comes after those of the question.
    _ = try await onThread { try client.transact([.comment("")], deadline: soon) }
    let (holder, isOurs) = try await onThread { try Self.lock(fixture.server.socket) }
    #expect(isOurs == true)
    withExtendedLifetime(holder) {}
  }
}
