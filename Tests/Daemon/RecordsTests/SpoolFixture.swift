import CNI
import DaemonAPI
import Glibc
import Linux
import Records
import Testing
import TestSupport

/// A spool's directory and what shims do in it.
struct SpoolFixture {
  let outer: TemporaryDirectory
  let bootID: String
  let told = TestLog()

  init() throws {
    outer = try TemporaryDirectory()
    bootID = try Boot.id()
    try Files.makeDirectory(directory)
  }

  var directory: String { outer("spool") }
  var files: [String] { TemporaryDirectory.files(below: directory) }
  var log: String { told.text }

  func open() throws(StartError) -> Spool {
    try Spool(directories: [directory], log: told)
  }

  /// The error of opening it.
  func refusal() -> String? {
    do throws(StartError) {
      _ = try open()
      return nil
    } catch {
      return error.description
    }
  }

  func entry(
    _ nanoseconds: UInt64, _ container: String = "c", id: String = "id", boot: String? = nil,
    _ changes: [String: String?] = [:]
  ) throws -> SpoolEntry {
    var env = ["CNI_COMMAND": "DEL", "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0"]
    for (name, value) in changes { env[name] = value }
    return try #require(
      SpoolEntry(
        Request(env: env, config: Array(#"{"name":"n"}"#.utf8)), requestID: id,
        stamp: Stamp(bootID: boot ?? bootID, nanoseconds: nanoseconds)))
  }

  /// Puts a file there as a shim does.
  @discardableResult
  func put(_ entry: SpoolEntry, as name: String? = nil) throws -> String {
    let name = name ?? entry.fileName
    let temporary = "\(directory)/\(entry.temporaryName)"
    try Files.write(temporary, entry.encoded(), mode: [.write, .create])
    try Files.rename(temporary, "\(directory)/\(name)")
    return name
  }

  func put(_ text: String, as name: String) throws {
    try Files.write("\(directory)/\(name)", Array(text.utf8), mode: [.write, .create])
  }
}

extension Spool {
  func items(_ container: String) -> [Item] {
    items(containerID: container, ifName: "eth0")
  }

  var isReadable: Bool {
    guard let descriptor = descriptors.first else { return false }
    return (try? Deadline.after(milliseconds: 0).wait(descriptor, for: .read, "wait")) != nil
  }
}
