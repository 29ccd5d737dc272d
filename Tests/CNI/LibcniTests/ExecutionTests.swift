import CNI
import Linux
import TestSupport
import Testing

@testable import Libcni

@Suite("Running a plugin")
struct ExecutionTests {
  private let scripts: Scripts

  init() throws { scripts = try Scripts() }

  @Test("It gets its input byte for byte and its output is returned")
  func exchange() async throws {
    try scripts.write("echo", "cat")
    let input = "{\"b\": 1.50, \"a\":\t[ ]}\n"
    #expect(try await scripts.run("echo", input: input).get().text == input)
  }

  @Test("It gets an input of half a megabyte and may print as much")
  func largeInput() async throws {
    try scripts.write("echo", "cat")
    let input = String(repeating: "0123456789abcdef", count: 32_768)
    #expect(try await scripts.run("echo", input: input).get().output.count == input.utf8.count)
  }

  @Test("It may end without reading its input")
  func unreadInput() async throws {
    try scripts.write("deaf", "exec 0<&-; echo done")
    let input = String(repeating: "x", count: 1 << 20)
    #expect(try await scripts.run("deaf", input: input).get().text == "done\n")
  }

  @Test("Its environment is CNI_*, owner, trace context, verb and PATH, and nothing else")
  func environment() async throws {
    try scripts.write("env", "exec /usr/bin/env")
    let output = try await scripts.run(
      "env", .delete,
      environment: [
        ("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "old"), ("CNI_CONTAINERID", "id"),
        ("CNI_ARGS", "A=b;C=d e"), ("TRACEPARENT", "00-1"), ("TRACESTATE", "s"), ("BAGGAGE", "b"),
        ("PATH", "/evil"), ("LD_PRELOAD", "/evil.so"), ("HOME", "/root"), ("CNI_A=B", "c"),
        ("CNI_ZERO", "a\0b"), ("CNID_ATTACHMENT", "0123"), ("CNID_DAEMON", "45"),
        ("CNID_KILL_AFTER", "x"),
      ]
    ).get()
    // dash adds PWD by itself.
    let lines = output.text.split(separator: "\n").filter { !$0.hasPrefix("PWD=") }.sorted()
    #expect(
      lines == [
        "BAGGAGE=b", "CNID_ATTACHMENT=0123", "CNID_DAEMON=45", "CNI_ARGS=A=b;C=d e",
        "CNI_COMMAND=DEL", "CNI_CONTAINERID=id", "PATH=/usr/bin:/bin", "TRACEPARENT=00-1",
        "TRACESTATE=s",
      ])
  }

  @Test("The variables by which it is found stand first, whatever else it gets")
  func ownersFirst() {
    let call = PluginInvocation(
      type: "x", command: .add,
      environment: [
        ("BAGGAGE", String(repeating: "b", count: 8192)), ("CNI_ARGS", "A=b"),
        ("CNID_DAEMON", "45"), ("CNID_ATTACHMENT", "0123"),
      ], input: [], deadline: .never)
    let lines = call.programEnvironment(path: "/bin")
    #expect(lines.prefix(2) == ["CNID_DAEMON=45", "CNID_ATTACHMENT=0123"] && lines.count == 6)
  }

  @Test("Its working directory is the root, and it has no descriptor but the first three")
  func surroundings() async throws {
    try scripts.write("where", "pwd; exec ls /proc/self/fd")
    // 3 is the directory that ls reads.
    #expect(try await scripts.run("where").get().text == "/\n0\n1\n2\n3\n")
  }

  @Test("A verb that changes something is not asked for, and a verb that only looks is")
  func asking() async throws {
    try scripts.write("p", "echo ran")
    let executor = scripts.executor()
    for (command, runs) in [
      (CNICommand.check, true), (.status, true), (.version, true), (.add, false), (.delete, false),
      (.garbageCollect, false), (.update, false),
    ] {
      let ran = await onThread {
        (try? executor.ask(
          PluginInvocation(
            type: "p", command: command, environment: [], input: [], deadline: .after(seconds: 20))
        )) != nil
      }
      #expect(ran == runs, "\(command)")
    }
  }

  @Test("What it wrote to standard error comes with its output")
  func errorOutput() async throws {
    try scripts.write("talk", "echo '{}'; echo 'a warning' >&2")
    #expect(try await scripts.run("talk").get().errorOutput == "a warning")
  }

  @Test("A result without a version has the configuration's, and what is no result is an error")
  func results() async throws {
    try scripts.write("old", #"echo '{"ip4":{"ip":"10.0.0.2/24"}}'"#)
    try scripts.write("garbage", "echo potato")
    try scripts.write("silent", "true")
    let result = try await scripts.run("old").get().result(defaultVersion: .v020)
    #expect(result.ips.map { "\($0.address)" } == ["10.0.0.2/24"])
    for name in ["garbage", "silent"] {
      let output = try await scripts.run(name).get()
      let error = try #require(throws: PluginError.self) {
        try output.result(defaultVersion: .v110)
      }
      #expect(error.cniError(.delegate).code == .delegate)
      #expect(error.description.hasPrefix("plugin \(name) printed no result: "))
    }
  }
}
