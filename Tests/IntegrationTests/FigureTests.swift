import JSON
import Linux
import TestSupport
import Testing

/// The promised sizes of the programs that are shipped, printed as lines that begin with `figure:`.
@Suite(
  .daemonLog, .serialized, .shippedPrograms("size and memory are not those of a debug build"))
struct FigureTests {
  @Test("The stripped shim is at most 1 MB, the stripped daemon at most 12 MB")
  func sizes() async throws {
    let shim = try Files.status(Program.shim).size
    let daemon = try Files.status(Program.daemon).size
    print("figure: cni-shim \(shim) bytes, cnid \(daemon) bytes")
    #expect(shim <= 1_000_000)
    #expect(daemon <= 12_000_000)
    for program in [Program.shim, Program.daemon] {
      let libraries = try await Program.run(["ldd", program])
      #expect((libraries.text + libraries.errorText).contains("not a dynamic executable"))
    }
  }

  @Test("An idle daemon has at most 8 MiB in memory")
  func idleDaemon() async throws {
    try await withTestNode { node in
      let usage = try #require(node.daemon?.usage)
      print("figure: idle cnid \(usage.resident) KiB, \(usage.threads) threads")
      #expect(usage.resident > 0 && usage.resident <= 8 << 10)
    }
  }

  /// The shim's last act is a write; into a full pipe it waits there with all its work behind
  /// it, and its own peak can be read (a parent's view of its child's peak contains the
  /// parent's own pages).
  @Test("The shim needs at most 1.5 MiB for a configuration of 2 KB")
  func shimPeak() async throws {
    let directory = try TemporaryDirectory()
    let result = #"{"Result":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0"}]}}"#
    let fake = try FakeDaemon(directory.socket, [.response(200, Array(result.utf8))])
    let filler: JSONValue = .array((0..<66).map { .string("a member of no meaning, \($0)") })
    let call = ShimCall().to(directory).with("filler", filler)
    let bytes = call.configuration.bytes
    #expect(bytes.count > 2000 && bytes.count < 2200)
    try Files.write(directory("stdin"), bytes, mode: [.write, .create])

    let (environment, input) = (call.environment, directory("stdin"))
    let usage = try await onThread { () throws -> ProcessUsage? in
      let pipe = try FullPipe()
      let stdin = try Files.open(input, [.read])
      let child = try ChildProcess(
        executable: Program.shim, arguments: ["cni-shim"],
        environment: environment.map { "\($0.key)=\($0.value)" }, input: stdin.rawValue,
        output: pipe.writing.rawValue)
      defer { child.kill() }
      let deadline = Deadline.after(seconds: 60)
      while !deadline.isOver {
        // 1 is write(2), 0x1 its first argument: standard output.
        let call = (try? Files.read("/proc/\(child.pid)/syscall")) ?? []
        if String(decoding: call, as: UTF8.self).hasPrefix("1 0x1 ") {
          return ProcessUsage(pid: child.pid)
        }
        Clock.pause(milliseconds: 2)
      }
      return nil
    }
    #expect(fake.requests.count == 1)
    let peak = try #require(usage).peak
    print("figure: cni-shim peak \(peak) KiB with \(bytes.count) bytes of configuration")
    #expect(peak > 0 && peak <= 1536)
  }
}
