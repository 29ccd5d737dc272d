import CNI
import Daemon
import DaemonAPI
import PluginKit
import TestSupport
import Testing

private let second: UInt64 = 1_000_000_000

/// An attachment in the namespace with an id.
private func trace(_ name: String, id: Int32 = 1) -> AttachmentNamespace.Trace? {
  var record = AttachmentRecord(
    key: AttachmentKey(network: "pods", containerID: name, ifName: "eth0", plugin: "macvlan"),
    configuration: [], environment: [:], origin: "cni", requestID: "",
    stamp: Stamp(bootID: "this-boot", nanoseconds: 1))
  record.namespace = NamespaceIdentity(cookie: UInt64(id), id: id)
  return AttachmentNamespace.Trace(record)
}

/// A sweep with a grace of ten seconds over namespaces that a test lets die.
private struct Namespaces {
  let living = Locked<Set<String>>(["a", "b", "c"])
  let asked = Locked<[String]>([])
  let sweep: OrphanSweep

  init(grace: Int = 10) {
    sweep = OrphanSweep(graceSeconds: grace) { [living, asked] trace in
      asked.withLock { $0.append(trace.key.containerID) }
      return living.value.contains(trace.key.containerID)
    }
  }

  func end(_ names: String...) { living.withLock { $0.subtract(names) } }

  func look(_ traces: [AttachmentNamespace.Trace], at seconds: UInt64) -> [String] {
    sweep.look(at: traces, now: seconds * second).map(\.containerID)
  }
}

@Suite("OrphanSweep")
struct OrphanSweepTests {
  private let all = [trace("a", id: 1), trace("b", id: 2), trace("c", id: 3)].compactMap(\.self)

  @Test("an attachment is due when its namespace has been dead for the grace, not before")
  func grace() {
    let test = Namespaces()
    #expect(test.look(all, at: 0) == [])
    #expect(test.sweep.nextDue == nil)
    test.end("b")
    #expect(test.look(all, at: 5) == [])
    #expect(test.sweep.nextDue == 15 * second)
    #expect(test.sweep.look(at: all, now: 15 * second - 1) == [])
    #expect(test.look(all, at: 15) == ["b"])
  }

  @Test("another grace counts at once, also for those that are known to be dead")
  func otherGrace() {
    let test = Namespaces()
    test.end("b")
    #expect(test.look(all, at: 5) == [])
    test.sweep.setGrace(seconds: 3)
    #expect(test.sweep.nextDue == 8 * second)
    #expect(test.look(all, at: 8) == ["b"])
    test.sweep.setGrace(seconds: 100)
    #expect(test.look(all, at: 9) == [])
    test.sweep.setGrace(seconds: .max)
    #expect(test.sweep.nextDue == .max)
  }

  @Test("it stays due until its record is gone, and is then forgotten")
  func forgotten() {
    let test = Namespaces()
    test.end("b")
    #expect(test.look(all, at: 0) == [])
    #expect(test.look(all, at: 10) == ["b"])
    #expect(test.look(all, at: 11) == ["b"])
    #expect(test.look([all[0], all[2]], at: 12) == [])
    #expect(test.sweep.nextDue == nil)
    // The same key anew begins anew.
    #expect(test.look(all, at: 13) == [])
    #expect(test.look(all, at: 23) == ["b"])
  }

  @Test("one that is found alive again, as after a link was moved, was never dead")
  func alive() {
    let test = Namespaces()
    test.end("a")
    #expect(test.look(all, at: 0) == [])
    test.living.withLock { _ = $0.insert("a") }
    #expect(test.look(all, at: 20) == [])
    #expect(test.sweep.nextDue == nil)
  }

  @Test("the longest dead come first")
  func order() {
    let test = Namespaces()
    test.end("c")
    #expect(test.look(all, at: 1) == [])
    test.end("a")
    #expect(test.look(all, at: 2) == [])
    #expect(test.look(all, at: 100) == ["c", "a"])
  }

  @Test("when the kernel takes an id away only its attachments are asked about")
  func announced() {
    let test = Namespaces()
    test.end("a", "b")
    #expect(test.sweep.ended(namespaceID: 2, all, now: 3 * second) == [])
    #expect(test.asked.value == ["b"])
    #expect(test.sweep.nextDue == 13 * second)
    // The hourly look finds the other and does not forget since when the first is dead.
    #expect(test.look(all, at: 5) == [])
    #expect(test.look(all, at: 13) == ["b"])
    #expect(test.look(all, at: 15) == ["b", "a"])
  }

  @Test("an id that a later namespace got and lost again does not hurt one that lives")
  func reusedID() {
    let test = Namespaces(grace: 0)
    #expect(test.sweep.ended(namespaceID: 1, all, now: second) == [])
    #expect(test.sweep.nextDue == nil)
  }

  @Test("a grace of 0 is none; a very long one never ends and nothing overflows")
  func extremes() {
    let none = Namespaces(grace: 0)
    none.end("a")
    #expect(none.look(all, at: 1) == ["a"])
    let long = Namespaces(grace: .max)
    long.end("a")
    #expect(long.look(all, at: 1) == [])
    #expect(long.sweep.nextDue == .max)
    #expect(long.sweep.look(at: all, now: .max - 1) == [])
  }

  @Test("a clock value from before does no harm")
  func late() {
    let test = Namespaces()
    test.end("a")
    #expect(test.look(all, at: 50) == [])
    #expect(test.look(all, at: 40) == [])
    #expect(test.look(all, at: 60) == ["a"])
  }
}
