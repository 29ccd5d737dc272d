import JSON
import Linux
import TestSupport
import Testing

/// Files of networks that the real daemon reads by `networkDirs`.
@Suite(.daemonLog) struct NetworkFileTests {
  private static func text(_ network: String, _ type: String = "bridge") -> [UInt8] {
    Array(#"{"cniVersion":"1.0.0","name":"\#(network)","plugins":[{"type":"\#(type)"}]}"#.utf8)
  }

  /// A node whose daemon reads a directory, which may be missing.
  private func withNode(
    _ body: (TestNode, _ path: String) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    let path = directory("net.d")
    try await withTestNode(TestNode.Options(settings: ["networkDirs": [.string(path)]])) { node in
      try await body(node, path)
    }
    withExtendedLifetime(directory) {}
  }

  /// Makes a change, and expects a line with these words within a second.
  private func expect(
    _ words: [String], _ node: TestNode, _ location: SourceLocation = #_sourceLocation,
    _ change: () throws -> Void
  ) async throws {
    let known = node.log.utf8.count
    try change()
    let start = KernelClock.monotonic
    let isTold = try await becomes {
      String(decoding: node.log.utf8.dropFirst(known), as: UTF8.self).split(separator: "\n")
        .contains { line in words.allSatisfy { line.contains($0) } }
    }
    let passed = Int((KernelClock.monotonic - start) / 1_000_000)
    #expect(isTold, "\(words)", sourceLocation: location)
    #expect(passed < 1000 * Program.patience, "\(words)", sourceLocation: location)
  }

  private func files(_ node: TestNode, _ state: String) async throws -> Double? {
    try PrometheusText(try await node.http("GET", "/metrics").body)
      .value("cnid_network_files", ["state": state])
  }

  @Test("a bad file leaves the last good one in force, with a line in the log and a metric")
  func damaged() async throws {
    try await withNode { node, path in
      #expect(try await becomes { node.log.contains("a directory of networks is not there yet") })
      let file = "\(path)/10-a.conflist"
      try await expect(["info a network has appeared", "network=a", "file=\(file)"], node) {
        try Files.makeDirectory(path)
        try Files.overwrite(file, Self.text("a"))
      }
      #expect(try await files(node, "good") == 1)
      let damaged = ["warning", "the last good one stays in force", "file=\(file)", "network=a"]
      try await expect(damaged, node) { try Files.overwrite(file, Array("{".utf8)) }
      #expect(try await files(node, "damaged") == 1)
      #expect(try await files(node, "good") == 0)
      #expect(!node.log.contains("a network was removed"))
      try await expect(["info a network has changed", "network=a"], node) {
        try Files.overwrite(file, Self.text("a", "ptp"))
      }
      #expect(try await files(node, "damaged") == 0)
      try await expect(["info a network was removed", "network=a"], node) {
        try Files.remove(file)
      }
      #expect(try await files(node, "good") == 0)
      #expect(try await node.stop() == .exited(0))
    }
  }

  @Test("SIGHUP takes another directory")
  func reload() async throws {
    try await withNode { node, path in
      let other = node.directory("other")
      try Files.makeDirectory(other)
      try Files.overwrite("\(other)/b.conf", Self.text("b"))
      let settings = try JSONValue.parse(try Files.read(node.settingsFile))
      try await expect(["info a network has appeared", "network=b"], node) {
        try Files.overwrite(
          node.settingsFile, settings.setting("networkDirs", [.string(other)]).bytes)
        node.daemon?.signal(.hangUp)
      }
      // Two threads tell of it, in whatever order.
      #expect(try await becomes { node.log.contains("changed=networkDirs") })
      try await expect(["info a network has changed", "network=b"], node) {
        try Files.overwrite("\(other)/b.conf", Self.text("b", "ptp"))
      }
      try Files.makeDirectory(path)
      try Files.overwrite("\(path)/a.conf", Self.text("a"))
      try await expect(["info a network was removed", "network=b"], node) {
        try Files.remove("\(other)/b.conf")
      }
      #expect(!node.log.contains("network=a"))
    }
  }
}
