import PluginKit
import Testing
import TestSupport

@Suite("AttachmentRecord: damaged input")
struct RecordFuzzTests {
  @Test("100 000 damaged files do not trap, and what is read is written so that it reads the same")
  func damaged() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(
        100_000, texts: corpus, words: tokens, accepting: 1_000
      ).run(isRead)
    }
  }
}

private let corpus = [
  // Much of it is nothing that is looked at, so that many damaged ones are still records.
  #"{"version":1,"phase":"deleting","network":"n","containerID":"c","ifName":"e","plugin":"p","#
    + #""configuration":"","environment":{"#
    + #""CNI_NETNS":"/run/netns/0123456789abcdef-0123456789abcdef-0123456789abcdef"},"#
    + #""origin":"cni","requestID":"0123456789abcdef0123456789abcdef","stamp":"b:1","plan":[],"#
    + #""later":"0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"}"#,
  #"{"version":1,"phase":"adding","network":"n","containerID":"c","ifName":"e","plugin":"p","#
    + #""configuration":"e30=","environment":{},"origin":"cni","requestID":"","stamp":"b:1","plan":[]}"#,
  #"{"version":1,"phase":"attached","network":"n","containerID":"c","ifName":"e","plugin":"a/p","#
    + #""configuration":"","environment":{"A":"b"},"origin":"ovn","requestID":"r","stamp":"b:1","#
    + #""namespace":{"cookie":77,"id":3},"plan":[{"kind":"link","values":{"a":[1]}}],"#
    + #""result":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.1/8"}]}}"#,
  #"{"version":2,"readableFrom":2,"phase":"attached","network":"n","containerID":"c","ifName":"e","#
    + #""plugin":"p","place":"n.0","parent":{"network":"n","containerID":"c","ifName":"e","#
    + #""plugin":"delegate"},"configuration":"","environment":{"CNI_NETNS":"/run/netns/0123456789"},"#
    + #""origin":"cni","requestID":"0123456789abcdef0123456789abcdef","stamp":"b:1","plan":[],"#
    + #""names":[{"kind":"iface-id","scope":"unix:/run/db.sock","value":"default_a"}],"#
    + #""duties":[{"kind":"report","due":7,"values":{}}],"#
    + #""notes":{"status":["0123456789 0123456789 0123456789 0123456789"]}}"#,
]

private let tokens = [
  "\"", "{", "}", "[", "]", ",", ":", "null", "1", "-", "2", "e9", "\"phase\"", "\"deleting\"",
  "\"version\":", "18446744073709551615", "=", "\\u0000", "\"result\":", "\"mtu\":0", "é",
  "\"readableFrom\":", "\"names\":", "[{}]",
]

/// Whether a damaged text is read.
private func isRead(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  let record: AttachmentRecord
  do throws(RecordError) {
    record = try AttachmentRecord(parsing: input)
  } catch {
    precondition(!error.description.isEmpty)
    return false
  }
  let written = record.encoded()
  precondition((try? AttachmentRecord(parsing: written)) == record)
  return true
}
