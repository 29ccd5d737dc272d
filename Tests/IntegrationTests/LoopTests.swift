import JSON
import Linux
import TestSupport
import Testing

/// Programs of a set that call cnid again.
@Suite("Calls from inside of a call", .daemonLog)
struct LoopTests {
  /// A meta-plugin: it runs cni-shim with the configuration in `inner`, and passes its answer on.
  private func install(
    _ here: SetNode, _ name: String, _ inner: JSONValue, before: String = ""
  ) throws -> [String: String?] {
    let plugins = here.node.directory("plugins")
    try Files.makeDirectories(plugins)
    let file = here.node.directory("inner-\(name).json")
    try Files.write(file, inner.bytes, mode: [.write, .create])
    let script = "#!/bin/sh\n\(before)\nexec \(Program.shim) < \(file)\n"
    try Files.write(
      "\(plugins)/\(name)", Array(script.utf8), mode: [.write, .create], permissions: 0o755)
    return ["CNI_PATH": "\(plugins):\(Program.referencePlugins)"]
  }

  private func set(_ here: SetNode, _ type: String) -> JSONValue {
    here.network([
      "delegates": [
        here.macvlan("10.1.2.0/24", named: "first"),
        ["type": .string(type), "name": "looped"],
      ]
    ])
  }

  @Test("One that a plugin of cnid serves is a part of the set, and goes with it")
  func innerPart() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let inner = here.node.macvlan([
        "name": "inner", "ipam": ["type": "host-local", "subnet": "10.1.7.0/24"],
      ])
      let paths = try install(here, "meta", inner)
      let network = set(here, "meta")
      try await here.node.add(pod, network, paths)
      #expect(try await pod.network.links() == ["eth0", "net1"])
      #expect(try await pod.network.addresses("net1") == ["10.1.7.2/24"])
      // The set, its part, and the inner one.
      #expect(here.node.records.count == 3)
      try await here.node.delete(pod, network, paths)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("A program may clean up by a DEL before its ADD: that ends no ADD around it")
  func cleansUp() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let inner = here.node.macvlan([
        "name": "inner", "ipam": ["type": "host-local", "subnet": "10.1.7.0/24"],
      ])
      let file = here.node.directory("inner-meta.json")
      let paths = try install(
        here, "meta", inner,
        before: "[ $CNI_COMMAND = ADD ] && CNI_COMMAND=DEL \(Program.shim) < \(file) >/dev/null")
      // As the first network its interface is that of the ADD around it.
      let network = here.network(["delegates": [["type": "meta"]]])
      try await here.node.add(pod, network, paths)
      #expect(try await pod.network.addresses("eth0") == ["10.1.7.2/24"])
      try await here.node.delete(pod, network, paths)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  private func expectRefused(_ run: ProgramResult) {
    #expect(run.code == 7, "\(run)")
    #expect(run.message?.contains("network \"pods\", type \"cni-shim\"") == true, "\(run)")
    #expect(run.message?.contains("net1") == true, "\(run)")
  }

  @Test("One that begins the set once more is refused, and its DEL succeeds")
  func loop() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let paths = try install(here, "meta", set(here, "meta"))
      expectRefused(try await here.node.shim("ADD", pod, set(here, "meta"), paths))
      try await here.node.delete(pod, set(here, "meta"), paths)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("A program that hides from where it calls is refused at once all the same")
  func hidden() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let paths = try install(
        here, "meta", set(here, "meta"), before: "[ $CNI_COMMAND = ADD ] || exit 0\nunset CNID_CALL"
      )
      expectRefused(try await here.node.shim("ADD", pod, set(here, "meta"), paths))
      try await here.node.delete(pod, set(here, "meta"), paths)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("What a program has left behind when its call is over makes nothing")
  func late() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let node = here.node
      let before = try await node.snapshot([pod])
      let answer = node.directory("late")
      let inner = node.macvlan([
        "name": "inner", "ipam": ["type": "host-local", "subnet": "10.1.7.0/24"],
      ])
      // It calls when its own run is long over.
      let paths = try install(
        here, "late", inner,
        before: """
          [ $CNI_COMMAND = ADD ] || exit 0
          # In a session of its own nobody ends it with the program.
          setsid sh -c ': > \(answer).up; i=0
          while [ ! -e \(answer).go ] && [ $i -lt 900 ]; do i=$((i+1)); sleep 0.1; done
          \(Program.shim) < \(node.directory("inner-late.json")) > \(answer).new 2>/dev/null
          mv \(answer).new \(answer)' </dev/null >/dev/null 2>&1 &
          while [ ! -e \(answer).up ]; do sleep 0.1; done
          echo '{"cniVersion":"1.0.0"}'
          exit 0
          """)
      let network = set(here, "late")
      try await node.add(pod, network, paths)
      try Files.write("\(answer).go", [], mode: [.write, .create])
      let hasAnswer = try await eventually(within: 60_000) {
        (try? Files.status(answer)) != nil
      }
      #expect(hasAnswer)
      let text = String(decoding: try Files.read(answer), as: UTF8.self)
      #expect(text.contains("the call that this one belongs to is over"), "\(text)")
      #expect(try await pod.network.links() == ["eth0"])
      try await node.delete(pod, network, paths)
      #expect(try await node.leftovers(since: before, [pod]) == [])
    }
  }
}
