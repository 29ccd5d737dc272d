import CNI
import Linux
import TestSupport
import Testing

@testable import Libcni

@Suite("The versions of a plugin")
struct PluginVersionsTests {
  private let scripts: Scripts

  init() throws { scripts = try Scripts() }

  private func versions(_ body: String) async throws -> Result<[String], PluginError> {
    try scripts.write("plugin", body)
    let executor = scripts.executor()
    return await onThread {
      do throws(PluginError) {
        return .success(try executor.versions(of: "plugin", deadline: .after(seconds: 20)))
      } catch {
        return .failure(error)
      }
    }
  }

  @Test("They are what it says, asked as libcni asks")
  func said() async throws {
    let body = #"""
      [ "$CNI_COMMAND $CNI_NETNS $CNI_IFNAME $CNI_PATH" = "VERSION dummy dummy dummy" ] || exit 1
      [ "$(cat)" = '{"cniVersion":"1.1.0"}' ] || exit 1
      echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
      """#
    #expect(try await versions(body).get() == ["0.4.0", "1.0.0"])
  }

  @Test(
    "One from before VERSION is of 0.1.0; 0.2.0 had no list",
    arguments: [
      (#"echo '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1"#, ["0.1.0"]),
      (#"echo '{"cniVersion":"0.2.0"}'"#, ["0.1.0", "0.2.0"]),
    ])
  func old(body: String, expected: [String]) async throws {
    #expect(try await versions(body).get() == expected)
  }

  @Test("What is no answer is an error")
  func noAnswer() async throws {
    await #expect(throws: PluginError.self) { try await versions("echo done").get() }
    await #expect(throws: PluginError.self) { try await versions("exit 3").get() }
    await #expect(throws: PluginError.self) {
      try await versions(#"echo '{"cniVersion":"1.0.0"}'"#).get()
    }
  }

  @Test("A list's faults are plugins that are missing or do not support its version")
  func faults() async throws {
    try scripts.write("new", #"echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}'"#)
    try scripts.write("old", #"echo '{"cniVersion":"0.4.0","supportedVersions":["0.4.0"]}'"#)
    let list = try NetworkList(
      parsing: Array(
        """
        {"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "new"}, {"type": "old"},
         {"type": "none"}, {"type": "ours"}]}
        """.utf8))
    let executor = scripts.executor()
    let faults = await onThread {
      executor.faults(of: list, isBuiltIn: { $0 == "ours" }, deadline: .after(seconds: 20))
    }
    #expect(
      faults == [
        #"plugin old does not support config version "1.0.0""#,
        #"failed to find plugin "none" in path [\#(scripts.directory.path)]"#,
      ])
  }
}
