import CNI
import Linux
import PluginKit
import Records
import Testing
import TestSupport

/// A daemon that strace starts, so that its reading of records can be disturbed and counted.
private struct TracedStart {
  let node: TestNode
  private var trace: String { node.directory("trace") }

  /// Launches the daemon and waits for nothing.
  func launch(_ options: String) async throws -> RunningProcess {
    // -D: the process that is started is the daemon. strace would keep the signals that end it.
    let strace = "\(Program.find("strace")) -D -f -o \(trace) \(options)"
    return try await node.launch(
      through: "exec \(strace) \(Program.find("setpriv")) --pdeathsig KILL -- \"$0\" \"$@\"")
  }

  private var lines: [Substring] {
    let text = String(decoding: (try? Files.read(trace, limit: 64 << 20)) ?? [], as: UTF8.self)
    return text.split(separator: "\n")
  }

  /// The calls so far that name a file in a directory.
  func calls(_ directory: String) -> [Substring] {
    lines.filter { $0.contains("/\(directory)/") }
  }

  /// Whether a record and a lease were sent to the disk.
  var hasSent: Bool {
    let lines = lines
    return ["attachments", "networks/pods"].allSatisfy { directory in
      lines.indices.contains { index in
        let line = lines[index]
        guard line.contains("/\(directory)/"), line.contains(" fdatasync(") else { return false }
        guard line.hasSuffix("<unfinished ...>") else { return line.hasSuffix("= 0") }
        // Another thread's call came between: the end stands in a line of its own.
        let thread = line.prefix { $0 != " " }
        let end = lines[index...].first {
          $0.hasPrefix("\(thread) ") && $0.contains("fdatasync resumed>")
        }
        return end?.hasSuffix("= 0") == true
      }
    }
  }
}

@Suite(
  "Records at the start of the daemon",
  .shippedPrograms("faults are placed by strace, which counts a sanitizer's calls too"))
struct StateReadingTests {
  private func record(_ container: String) -> AttachmentRecord {
    var record = AttachmentRecord(
      key: AttachmentKey(
        network: "pods", containerID: container, ifName: "eth0", plugin: "macvlan"),
      configuration: Array(#"{"cniVersion":"1.1.0","name":"pods","type":"macvlan"}"#.utf8),
      environment: ["CNI_NETNS": "/run/netns/none"], origin: "cni", requestID: container,
      stamp: .now)
    record.phase = .attached
    record.namespace = NamespaceIdentity(cookie: .max, id: 77)
    return record
  }

  /// A node whose daemon has not been started, with records; the paths of their files.
  private func prepared(_ count: Int) async throws -> (start: TracedStart, paths: [String]) {
    let node = try await TestNode(TestNode.Options(startsDaemon: false))
    let directory = node.stateDirectory + "/attachments"
    try Files.makeDirectories(directory)
    var paths: [String] = []
    for number in 0..<count {
      let record = record("container-\(number)")
      let path = "\(directory)/\(AttachmentMark.value(of: record.key)).json"
      try Files.write(path, record.encoded(), mode: [.write, .create])
      paths.append(path)
    }
    return (TracedStart(node: node), paths)
  }

  /// A call that fails.
  struct Fault: Sendable, CustomTestStringConvertible {
    let call: String
    let error: String
    /// Whether it is the directory that cannot be read.
    var ofDirectory = false
    var testDescription: String { "\(call)\(ofDirectory ? " of the directory" : ""): \(error)" }
  }

  static let faults = [
    Fault(call: "openat", error: "EMFILE"), Fault(call: "openat", error: "ENFILE"),
    Fault(call: "openat", error: "ENOMEM"), Fault(call: "openat", error: "EINTR"),
    Fault(call: "read", error: "EIO"), Fault(call: "read", error: "EINTR"),
    Fault(call: "openat", error: "EMFILE", ofDirectory: true),
    Fault(call: "getdents64", error: "EIO", ofDirectory: true),
  ]

  @Test("an error of reading that passes costs no record", arguments: faults)
  func passing(fault: Fault) async throws {
    let (start, paths) = try await prepared(1)
    let path = fault.ofDirectory ? start.node.stateDirectory + "/attachments" : paths[0]
    _ = try await start.launch(
      "-P \(path) -e trace=\(fault.call) -e inject=\(fault.call):error=\(fault.error):when=1..2"
    )
    try await start.node.waitUntilReady()
    #expect(try await eventually { start.node.log.contains("records=1") })
    #expect(TemporaryDirectory.files(below: start.node.stateDirectory + "/attachments").count == 1)
    #expect((try? Files.status(paths[0])) != nil)
    try await start.node.stop()
  }

  @Test("an error of reading that stays refuses the start, and the record stays as it is")
  func staying() async throws {
    let (start, paths) = try await prepared(1)
    let before = try Files.read(paths[0])
    let process = try await start.launch(
      "-P \(paths[0]) -e trace=read -e inject=read:error=EIO")
    let status = try await process.ended(within: 20_000)
    #expect(status == .exited(1), "\(start.node.log)")
    #expect(
      start.node.log.contains("records: read \(paths[0]): Input/output error (EIO)"),
      "\(start.node.log)")
    #expect(try Files.read(paths[0]) == before)
  }

  @Test("a thousand records are opened a thousand times, the first look for orphans included")
  func once() async throws {
    let (start, paths) = try await prepared(1000)
    _ = try await start.launch("-e trace=openat")
    try await start.node.waitUntilReady(within: 60_000)
    // Recovery and the first look come right after the start.
    let isRead = try await eventually { start.calls("attachments").count >= paths.count }
    #expect(isRead)
    await onThread { Clock.pause(milliseconds: 1500) }
    #expect(start.calls("attachments").count == paths.count)
    try await start.node.stop()
  }
}

@Suite(
  "Records and leases on their way to the disk",
  .shippedPrograms("strace counts a sanitizer's calls too"))
struct KeepingTests {
  private func started() async throws -> TracedStart {
    let start = TracedStart(node: try await TestNode(TestNode.Options(startsDaemon: false)))
    _ = try await start.launch("-y -e trace=fsync,fdatasync,sync_file_range")
    try await start.node.waitUntilReady()
    return start
  }

  @Test("they are sent a second after the answer, and then the disk has its peace")
  func later() async throws {
    let start = try await started()
    let pod = try await TestPod()
    try await start.node.add(pod, start.node.macvlan())
    let isSent = try await eventually { start.hasSent }
    #expect(isSent)
    // The record may have been sent before its last change, and is sent again then.
    let restless = try await settled(within: 20_000) {
      let count = start.calls("attachments").count
      await onThread { Clock.pause(milliseconds: 2500) }
      let more = start.calls("attachments").count - count
      return more == 0 ? [] : ["\(more) calls more"]
    }
    #expect(restless == [])
    try await start.node.stop()
  }

  @Test("a daemon that is stopped sends them before it ends")
  func stopping() async throws {
    let start = try await started()
    let pod = try await TestPod()
    try await start.node.add(pod, start.node.macvlan())
    // One that had to be killed would have sent nothing.
    let status = try await start.node.stop()
    #expect(status == .exited(0), "\(start.node.log)")
    let isSent = try await eventually { start.hasSent }
    #expect(isSent)
  }
}
