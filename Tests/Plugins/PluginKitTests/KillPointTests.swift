import CNI
import Glibc
import Linux
import PluginKit
import Testing

@Suite("Journal: CNID_KILL_AFTER")
struct KillPointTests {
  /// Runs all three steps, the second failing once before it succeeds, and says on
  /// stdout what was done.
  private static func run(killAfter: String) {
    unsafe setenv("CNID_KILL_AFTER", killAfter, 1)
    func say(_ word: String) { _ = try? Descriptor.write(1, Array("<\(word)>".utf8)) }
    do throws(CNIError) {
      let journal = try journal()
      try journal.perform(.first) { _ throws(CNIError) in say("first") }
      say("between")
      try? journal.perform(.second) { _ throws(CNIError) in
        say("fails")
        throw CNIError(.kernel, "no")
      }
      try journal.perform(.second) { _ throws(CNIError) in say("second") }
      say("after")
      try journal.perform(.third) { _ throws(CNIError) in say("third") }
    } catch {
      say("\(error)")
    }
  }

  private func said(_ result: ExitTest.Result?) -> String {
    String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
  }

  @Test("the process ends by SIGKILL exactly after the step that is named, once it has succeeded")
  func killed() async {
    let result = await #expect(
      processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]
    ) {
      KillPointTests.run(killAfter: "p.second")
    }
    #expect(said(result).hasSuffix("<first><between><fails><second>"))
  }

  /// Runs one step three times, and says so each time.
  private static func runThrice(killAfter: String) {
    unsafe setenv("CNID_KILL_AFTER", killAfter, 1)
    do throws(CNIError) {
      let journal = try journal()
      for word in ["<1>", "<2>", "<3>"] {
        try journal.perform(.first) { _ throws(CNIError) in
          _ = try? Descriptor.write(1, Array(word.utf8))
        }
      }
    } catch {}
  }

  @Test("with a number behind the name it ends after that time, and not before")
  func numbered() async {
    let result = await #expect(
      processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]
    ) {
      KillPointTests.runThrice(killAfter: "p.first#2")
    }
    #expect(said(result).hasSuffix("<1><2>"))
  }

  @Test("a time that does not come does not end it")
  func numberedTooHigh() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      KillPointTests.runThrice(killAfter: "p.first#4")
    }
    #expect(said(result).contains("<1><2><3>"))
  }

  @Test("another plugin's step of the same name does not end it")
  func notKilled() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      KillPointTests.run(killAfter: "q.second")
    }
    #expect(said(result).contains("<first><between><fails><second><after><third>"))
  }
}
