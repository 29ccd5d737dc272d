import CNI
import Linux
import TestSupport
import Testing

@testable import Libcni

@Suite("Finding a plugin's program")
struct FindingTests {
  private func error(
    _ type: String, in searchPath: [String]
  ) -> String? {
    do throws(PluginError) {
      _ = try PluginExecutor(searchPath: searchPath).find(type, for: .add)
      return nil
    } catch {
      return error.description
    }
  }

  @Test("The first regular file of the search path wins")
  func first() throws {
    let (one, two) = (try TemporaryDirectory(), try TemporaryDirectory())
    for directory in [one, two] {
      try Files.write(directory("a"), [], mode: [.write, .create])
    }
    try Files.write(two("b"), [], mode: [.write, .create])
    try Files.makeDirectory(one("b"))
    let executor = PluginExecutor(searchPath: ["/no/such", "", one.path, two.path + "/"])
    #expect(try executor.find("a", for: .add) == one("a"))
    #expect(try executor.find("b", for: .add) == two("b"))
  }

  @Test("A symbolic link to a program is a program")
  func link() throws {
    let directory = try TemporaryDirectory()
    try Files.write(directory("real"), [], mode: [.write, .create])
    let run = try Program.runBlocking(["ln", "-s", "real", directory("alias")])
    #expect(run.succeeded)
    #expect(
      try PluginExecutor(searchPath: [directory.path]).find("alias", for: .add)
        == directory("alias"))
  }

  @Test(
    "What cannot be found is told in libcni's words",
    arguments: [
      ("", ["/a"], "no plugin name provided"),
      ("a/b", ["/a"], "invalid plugin name: a/b"),
      ("../x", ["/a"], "invalid plugin name: ../x"),
      ("x", [], "no paths provided"),
      ("x", ["", ""], "no paths provided"),
      ("x", ["/no/a", "/no/b"], #"failed to find plugin "x" in path [/no/a /no/b]"#),
      ("..", ["/tmp"], #"failed to find plugin ".." in path [/tmp]"#),
      (".", ["/tmp"], #"failed to find plugin "." in path [/tmp]"#),
    ])
  func texts(type: String, searchPath: [String], text: String) {
    #expect(error(type, in: searchPath) == text)
  }

  @Test("A zero byte in a type or a directory leads nowhere")
  func zeroBytes() throws {
    let directory = try TemporaryDirectory()
    try Files.write(directory("a"), [], mode: [.write, .create])
    #expect(error("a\0b", in: [directory.path]) == "invalid plugin name: a\0b")
    #expect(error("a", in: [directory.path + "\0/x"])?.hasPrefix("failed to find plugin") == true)
  }
}
