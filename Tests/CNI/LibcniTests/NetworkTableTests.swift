import Glibc
import Linux
import TestSupport
import Testing

@testable import Libcni

/// A directory of networks that a test writes.
struct NetworkFolder: Sendable {
  let outer: TemporaryDirectory
  let path: String

  init() throws {
    outer = try TemporaryDirectory()
    path = outer("net.d")
    try Files.makeDirectory(path)
  }

  func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file in place.
  func write(_ name: String, _ text: String) throws {
    try Files.overwrite(self(name), Array(text.utf8))
  }

  /// A list of one plugin.
  static func list(_ network: String, _ type: String = "bridge", _ more: String = "") -> String {
    #"{"cniVersion":"1.0.0","name":"\#(network)"\#(more),"plugins":[{"type":"\#(type)"}]}"#
  }
}

@Suite("The networks of directories")
struct NetworkTableTests {
  private let folder: NetworkFolder

  init() throws { folder = try NetworkFolder() }

  private func file(_ name: String) -> String { folder(name) }

  private func types(_ table: NetworkTable, _ network: String) -> [String]? {
    table.network(named: network)?.list.plugins.map(\.type)
  }

  @Test("Lists and single plugins are read in the order of their files' names, other files are not")
  func order() throws {
    try folder.write("20-b.conf", #"{"cniVersion":"0.4.0","name":"b","type":"macvlan"}"#)
    try folder.write("10-c.conflist", NetworkFolder.list("c"))
    try folder.write("B.json", #"{"name":"d","type":"ptp"}"#)
    try folder.write("a.json", #"{"name":"a","type":"ptp"}"#)
    for name in ["30-x.conflist.bak", "README", "conf", ".x.conf.swp"] {
      try folder.write(name, NetworkFolder.list("x"))
    }
    try Files.makeDirectory(file("40-y.conf"))
    var table = NetworkTable([folder.path])
    let remarks = table.look()
    #expect(table.networks.map(\.list.name) == ["c", "b", "d", "a"])
    #expect(table.networks.map(\.file).first == file("10-c.conflist"))
    #expect(types(table, "b") == ["macvlan"])
    #expect(table.network(named: "x") == nil)
    #expect(table.counts == (good: 4, damaged: 0))
    #expect(
      remarks == table.networks.map { .appeared(network: $0.list.name, file: $0.file) })
    #expect(table.look() == [])
  }

  @Test("What is new is told once")
  func changes() throws {
    var table = NetworkTable([folder.path])
    #expect(table.look() == [])
    try folder.write("a.conf", NetworkFolder.list("a"))
    #expect(table.look() == [.appeared(network: "a", file: file("a.conf"))])
    try folder.write("a.conf", NetworkFolder.list("a", "ptp"))
    #expect(table.look() == [.changed(network: "a", file: file("a.conf"))])
    #expect(types(table, "a") == ["ptp"])
    try Files.rename(file("a.conf"), file("b.conf"))
    #expect(table.look() == [.changed(network: "a", file: file("b.conf"))])
    try folder.write("b.conf", NetworkFolder.list("b"))
    #expect(
      table.look() == [
        .appeared(network: "b", file: file("b.conf")),
        .removed(network: "a", file: file("b.conf")),
      ])
    try Files.remove(file("b.conf"))
    #expect(table.look() == [.removed(network: "b", file: file("b.conf"))])
    #expect(table.networks == [] && table.counts == (good: 0, damaged: 0))
  }

  /// What a file may have in it that is no network, and what is said of it.
  static let damages: [(String, String)] = [
    ("", "error parsing configuration list: it is empty"),
    ("{", "error parsing configuration list: "),
    (#"{"name":"a","plugins":[]}"#, "error parsing configuration list: no plugins in list"),
    (#"{"type":"bridge"}"#, "error parsing configuration list: no name"),
    (#"{"name":"../a","type":"bridge"}"#, "invalid characters found in network name"),
    (#"{"name":"a"}"#, "it has no plugins, and none are in "),
    (String(repeating: " ", count: (1 << 20) + 1), "it has more than 1048576 bytes"),
  ]

  @Test("A file that is not good leaves the last good content in force", arguments: damages)
  func damage(text: String, fault: String) throws {
    try folder.write("a.conf", NetworkFolder.list("a"))
    var table = NetworkTable([folder.path])
    _ = table.look()
    try folder.write("a.conf", text)
    try folder.write("b.conf", text)
    let remarks = table.look()
    #expect(remarks.count == 2)
    guard case .damaged(file("a.conf"), let told, "a") = remarks.first,
      case .damaged(file("b.conf"), _, nil) = remarks.last
    else {
      Issue.record("\(remarks)")
      return
    }
    #expect(told.hasPrefix(fault) || told.contains("no JSON"), "\(told)")
    #expect(types(table, "a") == ["bridge"])
    #expect(table.counts == (good: 0, damaged: 2))
    #expect(table.look() == [])
    try folder.write("a.conf", NetworkFolder.list("a"))
    #expect(table.look() == [.mended(file: file("a.conf"))])
    try Files.remove(file("b.conf"))
    #expect(table.look() == [])
    #expect(table.counts == (good: 1, damaged: 0))
  }

  @Test("A fault is told again when the content is another, and the network goes with its file")
  func again() throws {
    try folder.write("a.conf", NetworkFolder.list("a"))
    var table = NetworkTable([folder.path])
    _ = table.look()
    var told: [Int] = []
    for text in ["{1", "{1", "{2", "{1"] {
      try folder.write("a.conf", text)
      told.append(table.look().count)
    }
    #expect(told == [1, 0, 1, 1])
    try Files.remove(file("a.conf"))
    #expect(table.look() == [.removed(network: "a", file: file("a.conf"))])
    #expect(table.counts == (good: 0, damaged: 0))
  }

  @Test("Of two files with one network the first counts, and of two directories the first")
  func hidden() throws {
    let other = folder.outer("other")
    try Files.makeDirectory(other)
    try Files.write(
      "\(other)/0.conf", Array(NetworkFolder.list("a", "c").utf8), mode: [.write, .create])
    try folder.write("1.conf", NetworkFolder.list("a", "a"))
    try folder.write("2.conf", NetworkFolder.list("a", "b"))
    var table = NetworkTable([folder.path, other, folder.path])
    #expect(
      table.look() == [
        .appeared(network: "a", file: file("1.conf")),
        .hidden(network: "a", file: file("2.conf"), by: file("1.conf")),
        .hidden(network: "a", file: "\(other)/0.conf", by: file("1.conf")),
      ])
    #expect(types(table, "a") == ["a"] && table.counts == (good: 3, damaged: 0))
    #expect(table.look() == [])
    try Files.remove(file("1.conf"))
    let remarks = table.look()
    #expect(remarks.first == .changed(network: "a", file: file("2.conf")))
    #expect(types(table, "a") == ["b"])
    table.setDirectories([other])
    #expect(table.look() == [.changed(network: "a", file: "\(other)/0.conf")])
    table.setDirectories([])
    #expect(table.look() == [.removed(network: "a", file: "\(other)/0.conf")])
  }

  @Test("Plugins in files beside a list come behind its own, unless it says no")
  func beside() throws {
    try Files.makeDirectory(folder("a"))
    try folder.write("a/20.conf", #"{"type":"tuning"}"#)
    try folder.write("a/10.conf", #"{"type":"sbr"}"#)
    try folder.write("a/30.json", #"{"type":"no"}"#)
    try folder.write("1.conflist", NetworkFolder.list("a"))
    try folder.write("2.conflist", #"{"name":"b"}"#)
    var table = NetworkTable([folder.path])
    let fault = "it has no plugins, and none are in \(folder("b"))"
    #expect(
      table.look() == [
        .damaged(file: file("2.conflist"), fault: fault, kept: nil),
        .appeared(network: "a", file: file("1.conflist")),
      ])
    #expect(types(table, "a") == ["bridge", "sbr", "tuning"])
    try Files.makeDirectory(folder("b"))
    try folder.write("b/1.conf", #"{"type":"ptp"}"#)
    #expect(
      table.look() == [
        .mended(file: file("2.conflist")), .appeared(network: "b", file: file("2.conflist")),
      ])
    try folder.write("a/10.conf", #"{"type":"../sbr"}"#)
    let second = #"a/10.conf: invalid plugin name: "../sbr""#
    #expect(table.look() == [.damaged(file: file("1.conflist"), fault: second, kept: "a")])
    #expect(types(table, "a") == ["bridge", "sbr", "tuning"])
    try Files.remove(file("a/10.conf"))
    _ = table.look()
    #expect(types(table, "a") == ["bridge", "tuning"])
    try folder.write(
      "1.conflist", NetworkFolder.list("a", "bridge", #","loadOnlyInlinedPlugins":true"#))
    _ = table.look()
    #expect(types(table, "a") == ["bridge"])
  }

  @Test("What is no file is not read, and what leads to one is")
  func kinds() async throws {
    #expect(unsafe mkfifo(file("1.conf"), 0o600) == 0)
    #expect(unsafe symlink("/dev/zero", file("2.conf")) == 0)
    #expect(unsafe symlink("nowhere", file("3.conf")) == 0)
    try Files.write(
      folder.outer("x"), Array(NetworkFolder.list("a").utf8), mode: [.write, .create])
    #expect(unsafe symlink("../x", file("4.conf")) == 0)
    let path = folder.path
    let (remarks, networks) = await onThread {
      var table = NetworkTable([path])
      return (table.look(), table.networks.map(\.list.name))
    }
    #expect(networks == ["a"])
    let fault = "it is not a regular file"
    #expect(
      remarks == [
        .damaged(file: file("1.conf"), fault: fault, kept: nil),
        .damaged(file: file("2.conf"), fault: fault, kept: nil),
        .appeared(network: "a", file: file("4.conf")),
      ])
  }

  @Test("A directory may be missing, come, and go; a file in its place is told")
  func directory() throws {
    let path = folder.outer("late")
    var table = NetworkTable([path])
    #expect(table.look() == [.missing(directory: path)])
    #expect(table.look() == [])
    try folder.write("a.conf", NetworkFolder.list("a"))
    try Files.rename(folder.path, path)
    #expect(table.look() == [.appeared(network: "a", file: "\(path)/a.conf")])
    try Files.rename(path, folder.path)
    #expect(
      table.look() == [
        .missing(directory: path), .removed(network: "a", file: "\(path)/a.conf"),
      ])
    try Files.write(path, [1], mode: [.write, .create])
    #expect(table.look() == [.unreadable(path: path, fault: "it is not a directory")])
    #expect(table.look() == [])
  }

  @Test("More files than anybody needs are not read")
  func many() throws {
    for number in 1000...2030 {
      try folder.write("\(number).conf", NetworkFolder.list("n\(number)"))
    }
    var table = NetworkTable([folder.path])
    _ = table.look()
    #expect(table.counts == (good: 1024, damaged: 7))
    #expect(table.networks.count == 1024 && table.networks.last?.list.name == "n2023")
  }
}
