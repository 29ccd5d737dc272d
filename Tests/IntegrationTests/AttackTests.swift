import JSON
import Linux
import TestSupport
import Testing

/// What others do to a node, and what it costs the daemon; each prints a `figure:` line.
///
/// The limits of time only tell a machine that is busy from a cost that others decide.
@Suite(.daemonLog, .serialized, .shippedPrograms("time and memory are not a debug build's"))
struct AttackTests {
  /// An IPAM program that never ends, so that its daemon's record says that one may run.
  private static let sleeper = "#!/bin/sh\nexec sleep 600\n"

  @Test(
    "Ninety processes of another user with environments of megabytes keep no cnid from starting")
  func environments() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try Files.makeDirectories(node.directory("bin"))
      try Files.write(
        node.directory("bin/sleeper"), Array(Self.sleeper.utf8), mode: [.write, .create],
        permissions: 0o755)
      let call = try await node.startShim(
        "ADD", pod, node.macvlan(["ipam": ["type": "sleeper"]]),
        ["CNI_PATH": node.directory("bin")])
      #expect(try await eventually(within: 20_000) { node.records.count == 1 })
      try await node.kill()
      let hostile = try await crowd(node.directory("crowd"))
      defer { try? Files.write(node.directory("crowd.pipe"), Array(repeating: 0x0A, count: 90)) }
      let begun = KernelClock.monotonic
      try await node.start()
      let milliseconds = (KernelClock.monotonic - begun) / 1_000_000
      let peak = try #require(node.daemon?.usage).peak
      print("figure: start beside 90 hostile processes: \(milliseconds) ms, \(peak) KiB")
      #expect(milliseconds < 2000 * UInt64(Program.patience) && peak < 10 << 10)
      #expect(hostile.status == nil)
      call.signal(.kill)
    }
  }

  /// Processes that share one environment of six megabytes, as `fork` leaves it to them; each ends
  /// with a line in the pipe.
  private func crowd(_ name: String) async throws -> RunningProcess {
    let script = """
      mkfifo \(name).pipe
      exec 3<>\(name).pipe 4>\(name).ready
      big=$(head -c 131000 /dev/zero | tr '\\0' x)
      ulimit -s unlimited
      for i in $(seq 45); do export BIG$i=CNID_DAEMON=$big; done
      exec setpriv --reuid 65534 --regid 65534 --clear-groups /bin/sh -c '
        i=0
        while [ $i -lt 90 ]; do (read line <&3) & i=$((i + 1)); done
        echo ready >&4; wait'
      """
    let log = name + ".log"
    let process = try await onThread {
      try RunningProcess(
        ["/bin/bash", "-c", script], environment: ["PATH": "/usr/bin:/bin"], log: log)
    }
    let isReady = try await eventually(within: 20_000) {
      (try? Files.status(name + ".ready").size) ?? 0 > 0
    }
    guard isReady else {
      throw TestError("no crowd: \(String(decoding: (try? Files.read(log)) ?? [], as: UTF8.self))")
    }
    return process
  }

  @Test("A database that asks for echoes and reads no answer costs no memory")
  func echoes() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let socket = node.directory("ovsdb.sock")
      let isOver = Locked(false)
      defer { isOver.withLock { $0 = true } }
      let listener = try UnixSocket.listen(socket).release()
      try OSThread.start { Self.flood(listener, until: isOver) }
      let before = try #require(node.daemon?.usage).peak
      let network: JSONValue = [
        "cniVersion": "1.1.0", "name": "pods", "type": "cni-shim", "plugin": "ovs", "bridge": "br0",
        "daemonSocketDir": .string(node.socketDirectory), "daemonTimeout": 5,
        "socket_file": .string("unix:" + socket),
      ]
      let answer = try await node.shim("ADD", pod, network)
      #expect(answer.code != nil, "\(answer)")
      let peak = try #require(node.daemon?.usage).peak
      print("figure: OVSDB echo flood for 5 s: \(before) to \(peak) KiB")
      #expect(peak < 32 << 10)
    }
  }

  /// Sends requests as fast as they are taken, to each who comes.
  private static func flood(_ listener: Int32, until isOver: Locked<Bool>) {
    let listener = FileDescriptor(adopting: listener)
    let filler = String(repeating: "x", count: 1000)
    let request = Array(#"{"method":"echo","params":["\#(filler)"],"id":"e"}"#.utf8)
    let batch = Array(repeatElement(request, count: 60).joined())
    while !isOver.value {
      guard let peer = try? Listener.accept(listener) else {
        Clock.pause(milliseconds: 5)
        continue
      }
      while !isOver.value {
        do throws(SystemError) {
          try Descriptor.sendAll(peer.rawValue, batch, deadline: .after(milliseconds: 200))
        } catch {
          if error.errno != .timedOut { break }
        }
      }
    }
  }

  @Test("Forty-five thousand range sets are refused at once")
  func rangeSets() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let sets: [JSONValue] = (0..<45_000).map {
        [["subnet": .string("10.\($0 >> 8).\($0 & 255).0/24")]]
      }
      let network = node.macvlan(["ipam": ["type": "host-local", "ranges": .array(sets)]]).bytes
      let begun = KernelClock.monotonic
      let answer = try await node.network.run(
        [Program.shim], environment: pod.environment("STATUS"), input: network)
      let milliseconds = (KernelClock.monotonic - begun) / 1_000_000
      print("figure: STATUS of 45000 range sets: \(milliseconds) ms")
      #expect(answer.message?.contains("at most 256") == true, "\(answer)")
      #expect(milliseconds < 5000 * UInt64(Program.patience))
    }
  }

  /// As many as `CNI_ROUTES` says; a million takes the kernel seconds to add.
  @Test("A pod with very many routes does not decide how much memory CHECK takes")
  func routes() async throws {
    let count = Int(Program.environment["CNI_ROUTES"] ?? "") ?? 100_000
    try await withTestNode { node in
      let pod = try await TestPod()
      let network = node.macvlan([
        "ipam": [
          "type": "host-local", "subnet": "10.1.2.0/24", "routes": [["dst": "0.0.0.0/0"]],
        ]
      ])
      let result = try await node.add(pod, network)
      let batch = node.directory("routes")
      let lines = (0..<count).map {
        "route add 44.\($0 >> 16 & 255).\($0 >> 8 & 255).\($0 & 255) dev eth0"
      }
      try Files.write(batch, Array(lines.joined(separator: "\n").utf8), mode: [.write, .create])
      let added = try await pod.network.run(["ip", "-batch", batch], within: 120_000)
      #expect(added.succeeded, "\(added)")
      let begun = KernelClock.monotonic
      let check = try await node.shim("CHECK", pod, network.setting("prevResult", result))
      let milliseconds = (KernelClock.monotonic - begun) / 1_000_000
      #expect(check.succeeded, "\(check)")
      let peak = try #require(node.daemon?.usage).peak
      print("figure: CHECK beside \(count) routes: \(milliseconds) ms, \(peak) KiB")
      #expect(peak < 16 << 10)
      try await node.delete(pod, network)
    }
  }
}
