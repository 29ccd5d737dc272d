import CNI
import JSON
import PluginKit
import Testing
import TestSupport

// Files of records as programs have written them. What stands here never changes: a new version
// gets a file more.

/// Version 0, from before the first release; made by hand.
private let version0 =
  #"{"version":0,"phase":"attached","network":"net","containerID":"box.1_x","#
  + #""ifName":"eth0","plugin":"example.org/p","#
  + #""configuration":"eyAibmFtZSI6Im5ldCIsCgkiw6kiOjFlNDAwfQD/","#
  + #""environment":{"CNI_ARGS":"A=b;C=d","CNI_IFNAME":"","CNI_NETNS":"/run/netns/x"},"#
  + #""origin":"delegate","requestID":"r-1","bootID":"b00t-id","#
  + #""nanoseconds":18446744073709551615,"namespace":{"cookie":18446744073709551615,"#
  + #""id":7},"plan":[{"kind":"link","values":{"name":"eth0","index":7,"#
  + #""deep":[{"a":null}]}},{"kind":"lease","values":{}},{"kind":"link","#
  + #""values":{"name":"eth1"}}],"result":{"cniVersion":"1.1.0","#
  + #""interfaces":[{"name":"eth0","mac":"c2:11:22:33:44:55","mtu":1400,"#
  + #""sandbox":"/run/netns/x"}],"ips":[{"interface":0,"address":"10.1.2.3/24","#
  + #""gateway":"10.1.2.1"},{"address":"2001:db8::1/64"}],"routes":[{"dst":"0.0.0.0/0","#
  + #""gw":"10.1.2.1","mtu":1300,"table":100,"scope":0}],"#
  + #""dns":{"nameservers":["10.1.2.1"]}}}"#

/// Version 1, as the last program of that version wrote it.
private let version1 =
  #"{"version":1,"phase":"attached","network":"net","containerID":"box.1_x","#
  + #""ifName":"eth0","plugin":"example.org/p","#
  + #""configuration":"eyAibmFtZSI6Im5ldCIsCgkiw6kiOjFlNDAwfQD/","#
  + #""environment":{"CNI_ARGS":"A=b;C=d","CNI_IFNAME":"","CNI_NETNS":"/run/netns/x"},"#
  + #""origin":"delegate","requestID":"r-1","stamp":"b00t-id:18446744073709551615","#
  + #""namespace":{"cookie":18446744073709551615,"id":7},"plan":[{"kind":"link","#
  + #""values":{"name":"eth0","index":7,"deep":[{"a":null}]}},{"kind":"lease","#
  + #""values":{}},{"kind":"link","values":{"name":"eth1"}}],"#
  + #""result":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","#
  + #""mac":"c2:11:22:33:44:55","mtu":1400,"sandbox":"/run/netns/x"}],"#
  + #""ips":[{"interface":0,"address":"10.1.2.3/24","gateway":"10.1.2.1"},"#
  + #"{"address":"2001:db8::1/64"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1","#
  + #""mtu":1300,"table":100,"scope":0}],"dns":{"nameservers":["10.1.2.1"]}}}"#

/// Version 2, with something in each member that it added.
private let version2 =
  #"{"version":2,"readableFrom":2,"phase":"attached","network":"net","#
  + #""containerID":"box.1_x","ifName":"eth0","plugin":"example.org/p","place":"net.0","#
  + #""parent":{"network":"set","containerID":"box.1_x","ifName":"eth0","#
  + #""plugin":"delegate"},"configuration":"eyAibmFtZSI6Im5ldCIsCgkiw6kiOjFlNDAwfQD/","#
  + #""environment":{"CNI_ARGS":"A=b;C=d","CNI_IFNAME":"","CNI_NETNS":"/run/netns/x"},"#
  + #""origin":"delegate","requestID":"r-1","stamp":"b00t-id:18446744073709551615","#
  + #""namespace":{"cookie":18446744073709551615,"id":7},"plan":[{"kind":"link","#
  + #""values":{"name":"eth0","index":7,"deep":[{"a":null}]}},{"kind":"lease","#
  + #""values":{}},{"kind":"link","values":{"name":"eth1"}}],"#
  + #""result":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","#
  + #""mac":"c2:11:22:33:44:55","mtu":1400,"sandbox":"/run/netns/x"}],"#
  + #""ips":[{"interface":0,"address":"10.1.2.3/24","gateway":"10.1.2.1"},"#
  + #"{"address":"2001:db8::1/64"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1","#
  + #""mtu":1300,"table":100,"scope":0}],"dns":{"nameservers":["10.1.2.1"]}},"#
  + #""names":[{"kind":"iface-id","scope":"unix:/run/db.sock","value":"default_a"},"#
  + #"{"kind":"vmi","scope":"127.0.0.1:9091","value":"u"}],"duties":[{"kind":"report","#
  + #""due":0,"values":{"a":[1]}},{"kind":"dhcp","due":18446744073709551615,"values":{}}],"#
  + #""notes":{"é":1e400}}"#

/// The full record with what version 2 added.
private func newestRecord() throws -> AttachmentRecord {
  let old = try fullRecord()
  let (set, key) = (AttachmentKey.set, old.key)
  var record = AttachmentRecord(
    key: AttachmentKey(
      network: key.network, containerID: key.containerID, ifName: key.ifName, plugin: key.plugin,
      place: "net.0"),
    configuration: old.configuration, environment: old.environment, origin: old.origin,
    requestID: old.requestID, stamp: old.stamp)
  record.phase = old.phase
  record.namespace = old.namespace
  record.plan = old.plan
  record.result = old.result
  record.parent = set
  record.names = [
    OutsideName(kind: "vmi", scope: "127.0.0.1:9091", value: "u"),
    OutsideName(kind: "iface-id", scope: "unix:/run/db.sock", value: "default_a"),
  ]
  record.duties = [
    Duty(kind: "report", due: 0, values: JSONObject([("a", [1])])),
    Duty(kind: "dhcp", due: .max),
  ]
  record.notes = JSONObject([("é", JSONValue(text: "1e400"))])
  return record
}

extension AttachmentKey {
  fileprivate static let set = AttachmentKey(
    network: "set", containerID: "box.1_x", ifName: "eth0", plugin: "delegate")
}

@Suite("AttachmentRecord: files of every version")
struct RecordHistoryTests {
  @Test("a file of an older version says today what it said then", arguments: [version0, version1])
  func older(text: String) throws {
    #expect(try AttachmentRecord(parsing: Array(text.utf8)) == fullRecord())
  }

  @Test("the newest version is written as its golden file and read from it")
  func newest() throws {
    let record = try newestRecord()
    #expect(String(decoding: record.encoded(), as: UTF8.self) == version2)
    #expect(try AttachmentRecord(parsing: Array(version2.utf8)) == record)
  }

  @Test("every version has a golden file here")
  func everyVersion() { #expect(AttachmentRecord.history.current == 2) }

  /// The newest file as a program of version 9 would write it, with a member more.
  private func later(readableFrom: JSONValue?) -> [UInt8] {
    JSONValue(text: version2).setting("version", 9).setting("readableFrom", readableFrom)
      .setting("later", ["a": [1, "b"]]).bytes
  }

  @Test("a newer record that allows it is used, and written again with all that it said")
  func newerReadable() throws {
    var record = try AttachmentRecord(parsing: later(readableFrom: 1))
    #expect(record.key.place == "net.0")
    #expect(record.encoded() == later(readableFrom: 1))
    record.phase = .deleting
    let written = JSONValue(text: String(decoding: record.encoded(), as: UTF8.self))
    #expect(written["version"] == 9)
    #expect(written["readableFrom"] == 1)
    #expect(written["phase"] == "deleting")
    #expect(written["later"] == ["a": [1, "b"]])
  }

  @Test(
    "a newer record that does not allow it says so", arguments: [nil, 3, "1", 9] as [JSONValue?])
  func newer(readableFrom: JSONValue?) {
    let error = #expect(throws: RecordError.self) {
      try AttachmentRecord(parsing: later(readableFrom: readableFrom))
    }
    #expect(error?.reason == .newer(9))
  }
}
