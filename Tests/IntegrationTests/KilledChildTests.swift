import JSON
import Linux
import TestSupport
import Testing

/// Programs that a killed daemon had started, which sleep and then act.
@Suite(.daemonLog) struct KilledChildTests {
  /// An IPAM plugin that keeps its leases as files, ignores signals, and sleeps at its first
  /// call of one verb.
  private func script(_ node: TestNode, slowAt verb: String) -> String {
    let (started, leases) = (node.directory("started"), node.directory("disk"))
    return """
      #!/bin/sh
      trap '' TERM HUP INT PIPE
      if [ $CNI_COMMAND = \(verb) ] && [ ! -e \(started) ]; then
        echo $$ > \(started).new && mv \(started).new \(started)
        sleep 300
      fi
      case $CNI_COMMAND in
      ADD) echo $CNI_IFNAME > \(leases)/$CNI_CONTAINERID
        echo '{"ips": [{"address": "10.7.0.2/16"}]}' ;;
      DEL) rm -f \(leases)/$CNI_CONTAINERID ;;
      GC) rm -f \(leases)/* ;;
      esac
      """
  }

  @Test(
    "It is dead before the next daemon is ready, and what it was about to do is never done",
    arguments: ["ADD", "DEL", "GC"])
  func killed(verb: String) async throws {
    try await withTestNode { node in
      let (pod, kept) = (try await TestPod(), try await TestPod("kept"))
      let leases = node.directory("disk")
      try Files.makeDirectories(node.directory("bin"))
      try Files.makeDirectory(leases)
      try Files.write(
        node.directory("bin/slow"), Array(script(node, slowAt: verb).utf8),
        mode: [.write, .create], permissions: 0o755)
      let before = try await node.snapshot([pod, kept])
      let paths: [String: String?] = ["CNI_PATH": node.directory("bin")]
      let configuration = node.macvlan(["ipam": ["type": "slow"]])
      if verb != "ADD" { try await node.add(pod, configuration, paths) }
      if verb == "GC" { try await node.add(kept, configuration, paths) }

      let list: JSONValue = [
        ["containerID": .string(kept.containerID), "ifname": "eth0"],
        ["containerID": .string(pod.containerID), "ifname": "eth0"],
      ]
      let call = try await node.startShim(
        verb, pod, configuration.setting("cni.dev/valid-attachments", list), paths)
      let started = node.directory("started")
      #expect(try await eventually(within: 20_000) { (try? Files.status(started)) != nil })
      let child = String(decoding: try Files.read(started), as: UTF8.self)
        .split(separator: "\n")[0]
      // The daemon first: it ends the programs of a caller that hangs up.
      try await node.kill()
      call.signal(.kill)
      _ = try await call.ended()
      // It does not mind that nobody is there any more.
      #expect(isRunning(child))
      try await node.start()
      #expect(!isRunning(child))
      #expect(node.log.contains("programs that the last cnid had left running were killed"))

      let expected = verb == "GC" ? [kept.containerID, pod.containerID].sorted() : []
      let isRecovered = try await eventually(within: 15_000) {
        TemporaryDirectory.files(below: leases) == expected
          && node.records.count == expected.count
      }
      #expect(isRecovered, "\(TemporaryDirectory.files(below: leases)) \(node.records)")
      if verb == "GC" {
        for pod in [pod, kept] { try await node.delete(pod, configuration, paths) }
      }
      try await node.add(pod, configuration, paths)
      #expect(TemporaryDirectory.files(below: leases) == [pod.containerID])
      try await node.delete(pod, configuration, paths)
      let left = try await node.leftovers(since: before, [pod, kept])
      #expect(left == [])
    }
  }

  @Test("A program of another daemon, with a state directory of its own, is left alone")
  func others() async throws {
    try await withTestNode { node in
      let (ready, log) = (node.directory("ready"), node.directory("other.log"))
      let other = try await onThread {
        try RunningProcess(
          ["/bin/sh", "-c", ": > \(ready); sleep 1000"],
          environment: ["PATH": "/bin:/usr/bin", "CNID_DAEMON": "another", "CNID_ATTACHMENT": "x"],
          log: log)
      }
      #expect(try await eventually { (try? Files.status(ready)) != nil })
      try await node.kill()
      try await node.start()
      #expect(other.status == nil)
      other.signal(.kill)
    }
  }

  private func isRunning(_ pid: Substring) -> Bool {
    guard let bytes = try? Files.read("/proc/\(pid)/stat") else { return false }
    let state = String(decoding: bytes, as: UTF8.self).split(separator: ")").last ?? ""
    return !state.hasPrefix(" Z") && !state.hasPrefix(" X")
  }
}
