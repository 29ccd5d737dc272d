@testable import Daemon
import Libcni
import Linux
import PluginKit
import TestSupport
import Testing

@Suite("Networks of directories")
struct NetworksTests {
  private let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
    for name in ["one", "two"] { try Files.makeDirectory(directory(name)) }
  }

  private func write(_ name: String, _ text: String) throws {
    try Files.overwrite(directory(name), Array(text.utf8))
  }

  private func network(_ name: String, _ type: String = "bridge") -> String {
    #"{"cniVersion":"1.0.0","name":"\#(name)","plugins":[{"type":"\#(type)"}]}"#
  }

  private func types(_ daemon: TestDaemon, _ name: String) -> [String]? {
    daemon.server.networks.network(named: name)?.plugins.map(\.type)
  }

  @Test("they are there when the daemon is, and follow their files")
  func follow() async throws {
    try write("one/a.conflist", network("a"))
    let daemon = try TestDaemon([RecordingPlugin()]) { $0.networkDirectories = [directory("one")] }
    #expect(types(daemon, "a") == ["bridge"])
    #expect(types(daemon, "b") == nil)
    try write("one/a.conflist", network("a", "ptp"))
    try write("one/b.conflist", network("b"))
    #expect(try await becomes { daemon.server.networks.all.count == 2 })
    #expect(try await becomes { self.types(daemon, "a") == ["ptp"] })
    try Files.remove(directory("one/b.conflist"))
    #expect(try await becomes { daemon.server.networks.all.map(\.list.name) == ["a"] })
    for text in ["appeared network=a", "appeared network=b", "changed network=a"] {
      #expect(try await becomes { daemon.log.contains("info a network has \(text) file=") })
    }
    #expect(try await becomes { daemon.log.contains("info a network was removed network=b") })
  }

  @Test("a file that is not good is told, counted, and changes nothing")
  func damaged() async throws {
    try write("one/a.conflist", network("a"))
    let daemon = try TestDaemon([RecordingPlugin()]) { $0.networkDirectories = [directory("one")] }
    try write("one/a.conflist", "{")
    try write("one/b.conflist", "{")
    #expect(try await becomes { daemon.server.networks.counts == (good: 0, damaged: 2) })
    #expect(types(daemon, "a") == ["bridge"])
    let page = try PrometheusText(try await daemon.send("GET", "/metrics").body)
    #expect(page.value("cnid_network_files", ["state": "damaged"]) == 2)
    #expect(page.value("cnid_network_files", ["state": "good"]) == 0)
    let path = directory("one")
    #expect(
      try await becomes {
        daemon.log.contains(
          "warning a network's file is not good; the last good one stays in force "
            + "file=\(path)/a.conflist fault=")
          && daemon.log.contains(
            "warning a network's file is not good and counts for nothing until it is "
              + "file=\(path)/b.conflist fault=")
      })
  }

  @Test("a reload takes other directories: more, others, and none")
  func reload() async throws {
    try write("one/a.conf", network("a"))
    try write("two/b.conf", network("b"))
    let daemon = try TestDaemon([RecordingPlugin()])
    for names in [["one"], ["one", "two"], ["two"], []] {
      try daemon.reload { $0.networkDirectories = names.map { directory($0) } }
      let expected = names.map { $0 == "one" ? "a" : "b" }
      #expect(
        try await becomes { daemon.server.networks.all.map(\.list.name) == expected }, "\(names)")
    }
    try daemon.reload { $0.networkDirectories = [directory("one")] }
    #expect(try await becomes { self.types(daemon, "a") == ["bridge"] })
  }

  @Test(
    "every remark is a line",
    arguments: [
      (.hidden(network: "n", file: "/2", by: "/1"), .warning, ["n", "/2", "/1"]),
      (.missing(directory: "/d"), .info, ["/d"]),
      (.unreadable(path: "/d", fault: "f"), .warning, ["/d", "f"]),
      (.unwatched(fault: "f"), .warning, ["f"]),
      (.watched, .info, []), (.mended(file: "/1"), .info, ["/1"]),
    ] as [(NetworkRemark, LogLevel, [String])])
  func lines(remark: NetworkRemark, level: LogLevel, values: [String]) {
    let line = remark.logLine
    #expect(line.level == level && !line.message.isEmpty)
    #expect(line.fields.map(\.1) == values)
  }
}
