public import Linux

/// What came of asking once.
enum PollOutcome<Value> {
  /// All that was asked for.
  case done(Value)
  /// Not yet: this is missing.
  case missing(String)
}

extension VRouter {
  /// Asks for a pod's interfaces by its name until all of them are there, `GET /vm-cfg/<name>`.
  ///
  /// Counterpart of `PollVmCfg` of the original's `VRouter`. The agent learns of interfaces
  /// one by one, and for a moment it may still know the previous pod of that name. So an
  /// answer counts when it has as many interfaces as each of them says there are, each only
  /// once, and all of one pod.
  ///
  /// - Parameters:
  ///   - name: the pod's name at the agent.
  ///   - uuid: the pod's identity where it is known: an answer about another one does not count.
  ///   - deadline: when to give up even before the last question.
  /// - Returns: the interfaces in the order of the answer.
  /// - Throws: `notReady` with what the last answer lacked; `unknownPod` if each was that there is
  ///   no such pod; `unreachable` if there was none.
  public func pollVMConfig(
    _ name: String, uuid: VRouterUUID?, deadline: Deadline
  ) throws(VRouterError) -> [Result] {
    guard PodName.isValid(name) else { throw VRouterError(.invalidName(name)) }
    let path = "/vm-cfg/\(name)"
    var (asked, unknown, absent) = (0, 0, 0)
    do throws(VRouterError) {
      return try poll("GET \(path)", deadline) { () throws(VRouterError) -> PollOutcome<[Result]> in
        asked += 1
        do throws(VRouterError) {
          let results = try get(path, deadline: deadline)
          if let lack = Self.lack(ofConfiguration: results, uuid) { return .missing(lack) }
          return .done(results)
        } catch {
          switch error.reason {
          case .refused(404, "Not Found"): unknown += 1
          case .unreachable: absent += 1
          default: break
          }
          throw error
        }
      }
    } catch {
      guard case .notReady(let text) = error.reason else { throw error }
      if unknown == asked {
        throw VRouterError(.unknownPod(name, asked: asked), operation: error.operation)
      }
      if absent == asked {
        throw VRouterError(.unreachable(text, refused: false), operation: error.operation)
      }
      throw error
    }
  }

  /// Asks for interfaces until each of them has its address, `GET /vm/<pod>/<interface>`.
  ///
  /// Counterpart of `PollVm` of the original's `VRouter`. An interface counts when the answer is
  /// about it and this pod and has a MAC address and an IPv4 address; with IPv6 alone, when two
  /// answers in a row said so. An agent that is too old to be asked for one interface is asked
  /// for all of the pod.
  ///
  /// - Parameters:
  ///   - uuid: the pod.
  ///   - interfaces: its interfaces.
  ///   - deadline: when to give up even before the last question.
  /// - Returns: each interface's answer.
  /// - Throws: `notReady` with what the last answer lacked.
  public func pollVM(
    _ uuid: VRouterUUID, interfaces: [VRouterUUID], deadline: Deadline
  ) throws(VRouterError) -> [VRouterUUID: Result] {
    var round = AddressRound(uuid, interfaces, isPatient: pollRetries > 1)
    return try poll("GET /vm/\(uuid)", deadline) {
      () throws(VRouterError) -> PollOutcome<[VRouterUUID: Result]> in
      try round.ask(self, deadline)
    }
  }

  /// What an answer of `/vm-cfg` still lacks; nil for nothing.
  static func lack(ofConfiguration results: [Result], _ uuid: VRouterUUID?) -> String? {
    guard let first = results.first else { return "the agent knows no interface yet" }
    for result in results {
      guard result.id != .none else { return "an interface has no id" }
      guard let index = result.annotations.index else {
        return "interface \(result.id) has no index yet"
      }
      guard index.total == results.count else {
        return "expected \(index.total) interfaces, got \(results.count)"
      }
      guard let vm = result.vmUUID else { return "interface \(result.id) has no vm-uuid" }
      if let uuid, vm != uuid { return "interface \(result.id) is of vm \(vm), not of \(uuid)" }
      guard vm == first.vmUUID else { return "the interfaces are of several vms" }
    }
    guard Set(results.map(\.id)).count == results.count else {
      return "an interface is there twice"
    }
    return nil
  }

  /// Makes an attempt until it succeeds: as often as ``pollRetries`` says, with the pause
  /// between two of them.
  ///
  /// - Parameters:
  ///   - operation: what is asked, for the error.
  ///   - deadline: when to give up. No pause begins that would end after it.
  ///   - attempt: asks once. A refusal and a failed exchange are only one attempt's.
  ///   - isFinal: tells which of these end it nevertheless.
  /// - Returns: what the attempt that succeeded has found.
  /// - Throws: `notReady` with the last attempt's text; `cancelled`; `failed`.
  func poll<Value>(
    _ operation: String, _ deadline: Deadline,
    attempt: () throws(VRouterError) -> PollOutcome<Value>,
    isFinal: (VRouterError) -> Bool = { _ in false }
  ) throws(VRouterError) -> Value {
    var attemptsLeft = pollRetries
    while true {
      var lack: String
      do throws(VRouterError) {
        switch try attempt() {
        case .done(let value): return value
        case .missing(let text): lack = text
        }
      } catch {
        if isFinal(error) { throw error }
        switch error.reason {
        case .refused(let status, let text): lack = "the agent answered \(status): \(text)"
        case .unreachable(let text, _): lack = text
        default: throw error
        }
      }
      attemptsLeft -= 1
      guard attemptsLeft > 0,
        try pause(milliseconds: pollMilliseconds, deadline, operation)
      else { throw VRouterError(.notReady(lack), operation: operation) }
    }
  }

  /// Waits, unless the deadline comes sooner.
  ///
  /// - Returns: whether there is time left.
  /// - Throws: `cancelled`.
  func pause(
    milliseconds: Int, _ deadline: Deadline, _ operation: String
  ) throws(VRouterError) -> Bool {
    guard deadline.remainingMilliseconds > milliseconds else { return false }
    do throws(SystemError) {
      try time.pause(milliseconds, deadline)
    } catch {
      let isCancelled = error.errno == .cancelled
      throw VRouterError(isCancelled ? .cancelled : .failed(error), operation: operation)
    }
    return true
  }
}

/// The questions of one round, and what the rounds before have found.
private struct AddressRound {
  private let uuid: VRouterUUID
  private let interfaces: [VRouterUUID]
  /// Whether IPv6 alone must be seen twice, because IPv4 may follow.
  private let isPatient: Bool
  private var found: [VRouterUUID: VRouter.Result] = [:]
  private var onlyIPv6: Set<VRouterUUID> = []
  private var asksForAll = false

  init(_ uuid: VRouterUUID, _ interfaces: [VRouterUUID], isPatient: Bool) {
    self.uuid = uuid
    self.interfaces = interfaces
    self.isPatient = isPatient
  }

  mutating func ask(
    _ agent: VRouter, _ deadline: Deadline
  ) throws(VRouterError) -> PollOutcome<[VRouterUUID: VRouter.Result]> {
    var lack = ""
    var all: [VRouter.Result]?
    for interface in interfaces where found[interface] == nil {
      do throws(VRouterError) {
        let answer: [VRouter.Result]
        if let all {
          answer = all
        } else {
          answer = try results(interface, agent, deadline)
          if asksForAll { all = answer }
        }
        if let text = take(answer, interface) { lack = text }
      } catch {
        onlyIPv6.remove(interface)
        guard case .refused(404, let text) = error.reason, !asksForAll else { throw error }
        lack = "interface \(interface): the agent answered 404: \(text)"
      }
    }
    return lack.isEmpty ? .done(found) : .missing(lack)
  }

  private mutating func results(
    _ interface: VRouterUUID, _ agent: VRouter, _ deadline: Deadline
  ) throws(VRouterError) -> [VRouter.Result] {
    if !asksForAll {
      do throws(VRouterError) {
        return try agent.get("/vm/\(uuid)/\(interface)", deadline: deadline)
      } catch {
        guard case .refused(404, "Unknown Request") = error.reason else { throw error }
        asksForAll = true
      }
    }
    return try agent.get("/vm/\(uuid)", deadline: deadline)
  }

  /// Keeps an answer that is complete, and otherwise tells what it lacks.
  private mutating func take(_ results: [VRouter.Result], _ interface: VRouterUUID) -> String? {
    let sawOnlyIPv6 = onlyIPv6.remove(interface) != nil
    guard let result = results.first(where: { $0.id == interface }) else {
      return "interface \(interface) is not in the answer"
    }
    guard result.vmUUID == uuid else {
      return "interface \(interface) is of vm \(result.vmUUID?.text ?? "(none)"), not of \(uuid)"
    }
    guard result.mac != nil else { return "interface \(interface) has no MAC address yet" }
    if let ipv4 = result.ipv4 {
      guard ipv4.prefixLength != nil else {
        return "interface \(interface) has no usable prefix length"
      }
    } else {
      guard result.ipv6 != nil else { return "interface \(interface) has no address yet" }
      guard sawOnlyIPv6 || !isPatient else {
        onlyIPv6.insert(interface)
        return "interface \(interface) has no IPv4 address yet"
      }
    }
    found[interface] = result
    return nil
  }
}
