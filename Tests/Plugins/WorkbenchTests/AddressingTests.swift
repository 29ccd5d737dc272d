import Addresses
import CNI
import JSON
import Linux
import PluginKit
import Testing
import TestSupport
import Workbench

@Suite("Workbench: addresses before and after the link")
struct AddressingTests {
  private static let hostLocal = #""ipam":{"type":"host-local","subnet":"10.9.0.0/24"}"#
  private static let program = #""ipam":{"type":"some-ipam"}"#

  /// A bench with an IPAM program that answers, or refuses DEL.
  private func bench(answer: String, refusesDEL: Bool = false) async throws -> Bench {
    let bench = try await Bench()
    try Files.makeDirectories(bench.directory("bin"))
    let refusal = #"[ $CNI_COMMAND = DEL ] && { echo '{"code":11,"msg":"no"}'; exit 1; }"#
    let script = "#!/bin/sh\n\(refusesDEL ? refusal : "")\necho '\(answer)'\n"
    try Files.write(
      bench.directory("bin/some-ipam"), Array(script.utf8), mode: [.write, .create, .truncate],
      permissions: 0o755)
    return bench
  }

  private static let address = #"{"cniVersion":"1.1.0","ips":[{"address":"10.9.0.7/24"}]}"#

  @Test(
    "Leases of this node come before the link and go after it; a program's the other way round",
    arguments: [
      (hostLocal, ["takeLease", "createLink"], ["deleteLink", "releaseLease"], "10.9.0.2/24"),
      (program, ["createLink", "runIPAM"], ["runIPAMDelete", "deleteLink"], "10.9.0.7/24"),
      ("", ["createLink"], ["deleteLink"], ""),
    ])
  func order(ipam: String, adding: [String], removing: [String], address: String) async throws {
    let bench = try await bench(answer: Self.address)
    let request = try bench.request(ipam)
    var call = bench.call(request)
    let (leased, seen) = try await onThread { [call] in
      try Addressing<Step>(request, call.host).take(call.journal) { leased throws(CNIError) in
        try call.journal.perform(.createLink) { _ throws(CNIError) in leased.ips.count }
      }
    }
    #expect(bench.steps == adding)
    #expect(leased.ips.first?.address.description ?? "" == address)
    #expect(seen == (adding.first == "takeLease" ? 1 : 0))
    call = bench.call(request)
    try await onThread { [call] in
      try Addressing<Step>(request, call.host).giveBack(call.journal) { () throws(CNIError) in
        try call.journal.perform(.deleteLink) { _ throws(CNIError) in }
      }
    }
    #expect(bench.steps == removing)
  }

  @Test("The plan names the lease exactly where there is address management")
  func plan() async throws {
    let bench = try await Bench()
    let call = bench.call(try bench.request())
    let plan = Addressing<Step>(try bench.request(Self.program), call.host).plan
    #expect(plan == [PlannedResource("lease", [("type", "some-ipam")])])
    #expect(Addressing<Step>(try bench.request(), call.host).plan.isEmpty)
  }

  @Test(
    "A record says that programs run for it exactly where its addresses come from one",
    arguments: ["host-local", "static", "dhcp", "some-ipam"])
  func programs(type: String) async throws {
    let bench = try await Bench()
    let request = try bench.request(#""ipam":{"type":"\#(type)"}"#)
    let addressing = Addressing<Step>(request, bench.call(request).host)
    var record = AttachmentRecord(
      key: AttachmentKey(network: "n", containerID: "c", ifName: "i", plugin: "p"),
      configuration: [], environment: [:], origin: "cni", requestID: "", stamp: Stamp.now)
    record.plan = addressing.plan
    #expect(record.runsPrograms == addressing.isAfterLink)
  }

  @Test("An answer without addresses fails the ADD with code 103")
  func noAddress() async throws {
    let bench = try await bench(answer: #"{"cniVersion":"1.1.0"}"#)
    let request = try bench.request(Self.program)
    let call = bench.call(request)
    let error = await #expect(throws: CNIError.self) {
      _ = try await onThread {
        try Addressing<Step>(request, call.host).take(call.journal) { _ throws(CNIError) in }
      }
    }
    #expect(error == CNIError(.ipam, "IPAM plugin returned missing IP config"))
  }

  @Test("A program that refuses DEL does not keep the link; the caller is told its words")
  func refusedDelete() async throws {
    let bench = try await bench(answer: Self.address, refusesDEL: true)
    let request = try bench.request(Self.program)
    let call = bench.call(request)
    let error = await #expect(throws: CNIError.self) {
      try await onThread {
        try Addressing<Step>(request, call.host).giveBack(call.journal) { () throws(CNIError) in
          try call.journal.perform(.deleteLink) { _ throws(CNIError) in }
        }
      }
    }
    #expect(error?.message == "no")
    #expect(bench.steps.contains("deleteLink"))
  }

  @Test("A link that stays keeps its lease")
  func linkStays() async throws {
    let bench = try await Bench()
    let request = try bench.request(Self.hostLocal)
    let call = bench.call(request)
    let refusal = CNIError(.kernel, "busy")
    let error = await #expect(throws: CNIError.self) {
      try await onThread {
        try Addressing<Step>(request, call.host).giveBack(call.journal) { () throws(CNIError) in
          throw refusal
        }
      }
    }
    #expect(error == refusal)
    #expect(bench.steps.isEmpty)
  }
}
