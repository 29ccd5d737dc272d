import Addresses
package import CNI
import IPAM
package import JSON
import Linux
package import PluginKit

extension CNIError {
  /// What STATUS says where an ADD would fail so: code 50, in the ADD's own words.
  package var unavailable: CNIError {
    code == .deadline ? self : CNIError(.notAvailable, message, details: details)
  }
}

/// The lease as it stands in a plan.
package struct PlannedLease: Planned {
  package static let kind = "lease"
  private let type: String

  package init(type: String) { self.type = type }

  package init?(_ values: JSONObject) {
    guard let type = values["type"]?.string else { return nil }
    self.type = type
  }

  package var values: [(String, JSONValue)] { [("type", .string(type))] }
}

extension PluginCall {
  /// Whether a DEL has addresses to give back: nothing says that there are none.
  package var mayHaveLease: Bool { record.map { $0.first(PlannedLease.self) != nil } ?? true }
}

/// The steps of a plugin that uses address management, as cases of these names.
package protocol AddressingStep: PluginStep {
  /// Addresses are taken before there is a link.
  static var takeLease: Self { get }
  /// Addresses are taken for a link that is there.
  static var runIPAM: Self { get }
  /// Addresses are given back while there is a link.
  static var runIPAMDelete: Self { get }
  /// Addresses are given back when the link has gone.
  static var releaseLease: Self { get }
  /// Addresses of attachments that are not valid any more are given back.
  static var collectLeases: Self { get }
}

/// How long a CHECK waits for address management: a held lock, a slow program.
private let checkMilliseconds = 5000

/// Address management for one call, in the order that its kind needs.
///
/// Leases that need no link are taken before the link is created and given back when it is known to
/// be gone. Those that need one are taken after it, and given back before it.
package struct Addressing<Step: AddressingStep>: Sendable {
  private let driver: IPAMDriver?
  private let log: @Sendable (LogLevel, String) -> Void
  /// Whether it is known what its ADD took.
  private let isRecorded: Bool
  /// What stands in the plan.
  package let plan: [PlannedResource]

  /// Chooses by the request's configuration; without `ipam` there are no addresses (L2).
  ///
  /// Of CNI_ARGS the plugin itself knows `knownArguments`.
  package init(_ request: PodRequest, _ host: PluginHost, knownArguments: [String] = []) {
    log = host.log
    isRecorded = request.isRecorded
    let deadline =
      request.command == .check
      ? request.deadline.capped(milliseconds: checkMilliseconds) : request.deadline
    driver = IPAMDriver(
      for: IPAMCall(
        containerID: request.sandboxID, ifName: request.ifName, arguments: request.arguments,
        knownArguments: knownArguments, configuration: request.configuration,
        environment: request.environment.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
        searchPath: request.searchPath, hostRoot: host.hostRoot,
        dataDirectory: host.dataDirectory,
        allowedPaths: request.isRecorded ? nil : host.paths.current,
        podCIDR: host.podCIDR.current, deadline: deadline))
    let type = driver.flatMap { _ in request.configuration.ipamType }
    plan = type.map { [PlannedLease(type: $0).planned] } ?? []
  }

  /// No addresses of address management.
  package init() {
    (driver, plan) = (nil, [])
    isRecorded = true
    log = { _, _ in }
  }

  /// Whether addresses are taken for a link that is there already.
  package var isAfterLink: Bool { driver?.order == .afterLink }

  /// Checks, before anything is recorded, what can be checked without running a program.
  package func prepare() throws(CNIError) { try driver?.prepare() }

  /// Takes addresses before or after `makeLink`, which gets those that are known by then.
  ///
  /// Without address management they are the `given` ones. An answer without addresses is code 103.
  package func take<Made>(
    given: CNIResult = CNIResult(), _ journal: Journal<Step>,
    around makeLink: (CNIResult) throws(CNIError) -> Made
  ) throws(CNIError) -> (CNIResult, Made) {
    guard let driver else { return (given, try makeLink(given)) }
    let (leased, made): (CNIResult, Made)
    switch driver.order {
    case .beforeLink:
      leased = try journal.waiting(.takeLease) { permit throws(CNIError) in
        try driver.add(permit)
      }
      made = try makeLink(leased)
    case .afterLink:
      made = try makeLink(given)
      leased = try journal.waiting(.runIPAM) { permit throws(CNIError) in
        try driver.add(permit) { failure in
          journal.settle(PlannedLease.kind)
          if let failure { log(.warning, "DEL after a failed ADD has failed too: \(failure)") }
        }
      }
    }
    if leased.ips.isEmpty { throw CNIError(.ipam, "IPAM plugin returned missing IP config") }
    for ip in leased.ips { try ip.checkFit(.ipam) }
    return (leased, made)
  }

  /// Gives addresses back, in the mirror order of ``take(given:_:around:)``.
  ///
  /// The link is removed also when a program does not take its addresses back.
  package func giveBack(
    _ journal: Journal<Step>, around removeLink: () throws(CNIError) -> Void
  ) throws(CNIError) {
    guard let driver else { return try removeLink() }
    switch driver.order {
    case .beforeLink:
      try removeLink()
      try journal.waiting(.releaseLease) { permit throws(CNIError) in try driver.delete(permit) }
    case .afterLink:
      var failure: CNIError?
      do throws(CNIError) {
        try journal.waiting(.runIPAMDelete) { permit throws(CNIError) in
          try driver.delete(permit) { reason in
            // What cannot be run has leased nothing, as far as anybody knows.
            if isRecorded { return false }
            log(.warning, "DEL without a record: nothing is given back: \(reason)")
            return true
          }
        }
      } catch {
        failure = error
      }
      try removeLink()
      if let failure { throw failure }
    }
  }

  /// Checks that the attachment still has its addresses.
  ///
  /// A backend that cannot be asked now, or takes its time, says nothing against it.
  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    do throws(CNIError) {
      try call.waiting { () throws(CNIError) in try driver?.check() }
    } catch {
      guard error.code == .tryAgainLater else { throw error }
      log(.warning, "CHECK could not ask address management: \(error)")
    }
  }

  /// Checks that an ADD would be served.
  ///
  /// - Throws: code 50 with the ADD's own text where it could not.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    do throws(CNIError) {
      try call.waiting { () throws(CNIError) in try driver?.status() }
    } catch {
      throw error.code == .ipam ? error.unavailable : error
    }
  }

  /// Gives back the addresses of attachments that are not listed and do not live.
  package func collect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    guard let driver else { return }
    let deadline = call.request.deadline
    let use: HostLocal.Use = { addresses throws(CNIError) in
      try AttachmentNamespace.inUse(addresses, deadline: deadline)
    }
    try call.journal.waiting(.collectLeases) { permit throws(CNIError) in
      let kept = try driver.collectGarbage(
        valid: valid, use: call.collectsLiving ? nil : use, permit)
      for lease in kept { call.spare(lease) }
    }
  }
}
