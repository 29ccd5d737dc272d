import Linux
import PluginKit
@testable import Scheduling
import Testing
import TestSupport

/// What a call of a storm does from its beginning to its end.
private struct StormCall {
  enum Step {
    case ask(Claim)
    case pass(Claim)
    case giveBack(Claim)
  }

  let kind: Job.Kind
  let claim: Claim
  var steps: [Step] = []
}

/// Random calls of sets, leaves, GCs, hot-plugs and DELs, each step at a random time.
private struct Storm {
  /// When a hot-plug asks for the attachment of its container's set.
  enum HotPlug { case atItsStart, later }

  private var random: Mutator
  private let hotPlug: HotPlug
  private var state: DispatcherState
  private var calls: [UInt64: StormCall] = [:]
  /// Running calls that wait for what they asked for.
  private var waiting: [UInt64: Claim] = [:]
  private(set) var faults: [String] = []

  init(seed: UInt64, _ hotPlug: HotPlug) {
    random = Mutator(seed: seed, corpus: [])
    self.hotPlug = hotPlug
    state = DispatcherState(maximumConcurrent: 1 + random.number(below: 4), maximumQueued: 100)
  }

  /// Runs a storm to its end.
  ///
  /// - Returns: the calls that can never go on.
  mutating func run() -> Int {
    for _ in 0..<(3 + random.number(below: 8)) {
      submit()
      for _ in 0..<random.number(below: 4) { _ = goOn() }
    }
    while goOn() {}
    return state.running.count + state.waiting.count
  }

  private mutating func submit() {
    let call = makeCall()
    let job = Job(
      kind: call.kind, claim: call.claim, stamp: UInt64(random.number(below: 20)),
      deadline: .never, work: QuickWork {})
    calls[state.insert(job)] = call
  }

  private mutating func makeCall() -> StormCall {
    let container = "c\(random.number(below: 3))"
    // Two sandboxes of one pod.
    let pod: Set = [container == "c2" ? "pod 1" : "pod 0"]
    let (root, leaf) = ("\(container)/eth0", "\(container)/net\(random.number(below: 2))")
    let outer: Set = ["set \(random.number(below: 2))"]
    let (net, other) = ("n\(random.number(below: 3))", "n\(random.number(below: 3))")
    switch random.number(below: 7) {
    case 0, 1:
      let more = Claim(
        attachments: ["\(container)/net0", "\(container)/net1"], locks: pod, networks: [net, other])
      return StormCall(
        kind: .add, claim: Claim(attachments: [root], networks: outer), steps: [.ask(more)])
    case 2:
      return StormCall(
        kind: .other, claim: Claim(attachments: ["d/eth0"], locks: pod, networks: [net]))
    case 3:
      return StormCall(
        kind: .other, claim: Claim(aloneIn: outer), steps: [.ask(Claim(aloneIn: [net, other]))])
    case 4:
      let turns = ["pod 0", "pod 1"].flatMap { pod -> [StormCall.Step] in
        [.pass(Claim(locks: [pod])), .giveBack(Claim(locks: [pod]))]
      }
      return StormCall(kind: .other, claim: Claim(aloneIn: [net]), steps: turns)
    case 5:
      let own = Claim(attachments: [leaf], locks: pod, networks: [net])
      let whole = own.union(Claim(attachments: [root]))
      return hotPlug == .atItsStart
        ? StormCall(kind: .add, claim: whole)
        : StormCall(kind: .add, claim: own, steps: [.ask(Claim(attachments: [root]))])
    default:
      let claim = Claim(
        attachments: [root, "\(container)/net0", "\(container)/net1"], locks: pod,
        networks: outer.union([net, other]))
      return StormCall(kind: random.number(below: 2) == 0 ? .delete : .spooled, claim: claim)
    }
  }

  /// One step of somebody.
  ///
  /// - Returns: false if nobody can do anything any more.
  private mutating func goOn() -> Bool {
    if random.number(below: 2) == 0, begin() { return true }
    let able = state.running.keys.sorted().filter { id in
      waiting[id].map { state.hasAll(id, $0) } ?? true
    }
    guard !able.isEmpty else { return begin() }
    step(able[random.number(below: able.count)])
    return true
  }

  private mutating func begin() -> Bool {
    guard case .run(let job, _) = state.turn(0) else { return false }
    expectAlone(job.id, job.claim)
    return true
  }

  private mutating func step(_ id: UInt64) {
    if let wish = waiting.removeValue(forKey: id) {
      _ = state.endWish(id)
      _ = state.wait(id, false)
      expectAlone(id, wish)
      return
    }
    guard let job = state.running[id] else { return }
    guard let step = calls[id]?.steps.first else {
      _ = state.end(job)
      return
    }
    calls[id]?.steps.removeFirst()
    switch step {
    case .giveBack(let claim): _ = state.giveBack(id, claim)
    case .ask(let claim): want(id, claim, .forGood)
    case .pass(let claim): want(id, claim, .inPassing)
    }
  }

  private mutating func want(_ id: UInt64, _ claim: Claim, _ manner: ClaimTable.Manner) {
    if case .refused = state.want(id, claim, manner, nil) { faults.append("\(id) was refused") }
    waiting[id] = claim
    _ = state.wait(id, true)
  }

  private mutating func expectAlone(_ id: UInt64, _ claim: Claim) {
    for other in state.running.values where other.id != id && other.claim.excludes(claim) {
      faults.append("\(id) runs beside \(other.id)")
    }
  }
}

@Suite("Claims: storms")
struct StormTests {
  private static let rounds = 20_000
  private static let parts = 4

  @Test(
    "in 20 000 storms of sets, leaves, GCs, hot-plugs and DELs no call is stuck or runs beside another",
    arguments: 0..<parts)
  func storm(part: Int) async {
    let first = UInt64.random(in: .min ... .max)
    await onThread {
      for round in 0..<(Self.rounds / Self.parts) {
        let seed = first &+ UInt64(round)
        var storm = Storm(seed: seed, .atItsStart)
        let stuck = storm.run()
        #expect(stuck == 0 && storm.faults.isEmpty, "seed \(seed): \(storm.faults)")
        if stuck > 0 { return }
      }
    }
  }

  @Test("hot-plugs that ask for their container's set only later get stuck: these storms see it")
  func later() async {
    let stuck = await onThread {
      (0..<1000).count { round in
        var storm = Storm(seed: UInt64(round), .later)
        return storm.run() > 0
      }
    }
    #expect(stuck > 0)
  }
}
