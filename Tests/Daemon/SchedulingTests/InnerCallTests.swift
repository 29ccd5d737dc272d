import CNI
import Linux
import PluginKit
import TestSupport
import Testing

@testable import Scheduling

@Suite("Dispatcher: calls of programs that a call runs")
struct InnerCallTests {
  private let inner = InnerCalls(
    id: "program",
    set: AttachmentKey(network: "net", containerID: "c", ifName: "eth0", plugin: "delegate"),
    attachment: "c/eth0")

  /// A desk with a running ADD of `c/eth0` that runs a program.
  private func desk(
    concurrent: Int = 8, untilLeft: Int = patience
  ) async throws -> (Desk, CallProgress) {
    let desk = try Desk(
      concurrent: concurrent, patience: Dispatcher.Patience(untilLeft: untilLeft))
    let host = try desk.submit("host", .add, attachment: "c/eth0", lock: "pod")
    #expect(await desk.has("host begins"))
    desk.dispatcher.admit(inner, host: host)
    return (desk, try #require(desk.progress("host")))
  }

  @Test("One has what the call around it has, and does not wait for it")
  func within() async throws {
    let (desk, _) = try await desk()
    #expect(desk.dispatcher.inner("program")?.set == inner.set)
    #expect(desk.dispatcher.isExecuting("c/eth0") && !desk.dispatcher.isExecuting("c/eth1"))
    try desk.submit("inner", .add, attachment: "c/eth0", lock: "pod", caller: "program")
    #expect(await desk.has("inner begins"))
    // The same from elsewhere waits.
    try desk.submit("other", .add, attachment: "c/eth0", lock: "pod")
    desk.end("inner", "host", "other")
    let order = await desk.all(6).filter { $0 != "inner ends" && $0 != "host ends" }
    #expect(order == ["host begins", "inner begins", "other begins", "other ends"])
  }

  @Test("It goes before those that wait, and before what running calls ask for")
  func first() async throws {
    let (desk, host) = try await desk(concurrent: 2)
    let asks = try desk.submit("asks", attachment: "d/eth0", network: "other")
    #expect(await desk.has("asks begins"))
    try desk.submit("waits", attachment: "c/eth2")
    // It asks for what the inner call is in as well.
    _ = desk.dispatcher.state.withLock {
      $0.want(asks, Claim(aloneIn: ["net"]), .forGood, nil)
    }
    try desk.submit("inner", .add, attachment: "c/eth0", caller: "program")
    // While its program runs the host has no place.
    let isFirst = try await onThread {
      try host.waiting { () throws(CNIError) in
        let hasBegun = desk.events.wait { $0.contains("inner begins") }
        return hasBegun && !desk.events.value.contains("waits begins")
      }
    }
    #expect(isFirst)
    desk.end("host", "asks", "inner", "waits")
    #expect(await desk.has("waits ends"))
  }

  @Test("Without a program that runs it is refused")
  func over() async throws {
    let (desk, host) = try await desk()
    desk.dispatcher.dismiss(inner, host)
    #expect(desk.dispatcher.inner("program") == nil)
    #expect(throws: CNIError.callIsOver) {
      try desk.submit("late", .add, attachment: "c/eth0", caller: "program")
    }
    #expect(!host.mustKeepRecord)
    desk.end("host")
  }

  @Test("When the program has ended, those that run are ended and waited for")
  func left() async throws {
    let (desk, host) = try await desk()
    try desk.submit("inner", .add, attachment: "c/eth0", caller: "program")
    #expect(await desk.has("inner begins"))
    async let dismissed: Void = onThread { desk.dispatcher.dismiss(inner, host) }
    #expect(await desk.has("inner is cancelled"))
    desk.end("inner")
    await dismissed
    #expect(await desk.has("inner ends"))
    #expect(!host.mustKeepRecord)
    desk.end("host")
  }

  @Test("One that does not end keeps the record of the call around it")
  func hangs() async throws {
    let (desk, host) = try await desk(untilLeft: 50)
    try desk.submit("inner", .delete, attachment: "c/eth0", caller: "program")
    #expect(await desk.has("inner begins"))
    await onThread { desk.dispatcher.dismiss(inner, host) }
    #expect(host.mustKeepRecord)
    desk.end("inner", "host")
  }
}
