import CNI
import Linux
import Netlink
import PluginKit
import TestSupport
import Testing

@Suite("Errors of the lower modules as CNI errors")
struct ErrorMappingTests {
  @Test(
    "a failed call keeps the code that is asked for; a wait's end is 105, no descriptors 11",
    arguments: [
      (Errno.noEntry, CNIErrorCode.ioFailure, CNIErrorCode.ioFailure),
      (.noEntry, .invalidEnvironment, .invalidEnvironment), (.timedOut, .ioFailure, .deadline),
      (.cancelled, .ipam, .deadline), (.noSpace, .ipam, .ipam),
      (.tooManyFiles, .invalidEnvironment, .tryAgainLater),
      (.tooManyFilesInSystem, .ipam, .tryAgainLater),
    ])
  func systemCodes(errno: Errno, asked: CNIErrorCode, code: CNIErrorCode) {
    let error = CNIError(SystemError("open", "/x", errno), code: asked)
    #expect(error.code == code)
    #expect(error.message == "open /x: \(errno)")
    #expect(error.details.isEmpty)
  }

  @Test("with a message of its own the system call's text is the details")
  func systemMessage() {
    let error = CNIError(SystemError("open", "/x", .noEntry), doing: "cannot open netns")
    #expect(
      error
        == CNIError(
          .ioFailure, "cannot open netns",
          details: "open /x: No such file or directory (ENOENT)"))
  }

  @Test(
    "what the kernel refuses is code 100, a wait that was over is 105",
    arguments: [
      (Errno.exists, CNIErrorCode.kernel), (.timedOut, .deadline), (.cancelled, .deadline),
      (.notPermitted, .kernel), (.tooManyFiles, .tryAgainLater),
    ])
  func netlinkCodes(errno: Errno, code: CNIErrorCode) {
    let error = CNIError(NetlinkError("create link", "eth0", errno))
    #expect(error.code == code)
    #expect(error.message == "create link eth0: \(errno)")
  }

  @Test("the kernel's own words are in the details")
  func kernelWords() {
    let refusal = NetlinkError("create link", "eth0", .invalid, kernelMessage: "No such mode")
    let error = CNIError(refusal, doing: "cannot make eth0")
    #expect(error.message == "cannot make eth0")
    #expect(error.details == "create link eth0: Invalid argument (EINVAL): No such mode")
  }

  @Test("a body's value passes, its error is mapped")
  func bodies() throws {
    #expect(try mapped { () throws(SystemError) in 7 } == 7)
    #expect(try mapped { () throws(NetlinkError) in 8 } == 8)
    let system = failure { () throws(CNIError) in
      try mapped("no lease", code: .ipam) { () throws(SystemError) in
        throw SystemError("lock", "/l", .timedOut)
      }
    }
    #expect(system?.code == .deadline)
    #expect(system?.message == "no lease")
    let netlink = failure { () throws(CNIError) in
      try mapped("no link") { () throws(NetlinkError) in throw NetlinkError("get", "x", .busy) }
    }
    #expect(netlink == CNIError(.kernel, "no link", details: "get x: \(Errno.busy)"))
  }
}
