import CLinux
public import Linux

/// A rtnetlink(7) socket for questions and changes, bound to the namespace in which it was opened.
///
/// It is one owner's: two threads never share one, and a process may have any number, because the
/// kernel chooses their port ids. Answers are matched by sequence number, extended acknowledgements
/// are asked for, and every wait ends with its deadline. After an error the socket can be used
/// again: late answers are passed over.
///
/// While it is open its namespace stays alive, so one opened in a pod's namespace lives no longer
/// than its request.
public struct NetlinkSocket: ~Copyable, Sendable {
  let descriptor: FileDescriptor
  private var sequence: UInt32 = 0
  private var room = NetlinkSocket.usualRoom

  /// The kernel fills at most 32 KiB of a larger buffer with a dump; single messages can be longer.
  private static let usualRoom = 64 << 10
  private static let largestRoom = 4 << 20
  /// After so many interrupted dumps in a row, the next ones come with pauses between them.
  private static let attemptsAtOnce = 4
  private static let longestPause = 50
  /// A batch is sent in pieces, so that the acknowledgements fit the socket's receive buffer.
  private static let mostAtOnce = 32

  /// Opens a socket in the calling thread's namespace.
  public init() throws(NetlinkError) {
    do throws(Errno) {
      descriptor = try Kernel.open(groups: [])
    } catch {
      throw NetlinkError("open netlink socket", "", error)
    }
  }

  /// Takes over an open socket, whatever it is; tests put one end of a socket pair here.
  init(adopting descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// The number of the namespace to which the socket belongs (SO_NETNS_COOKIE), never
  /// given to another one.
  public func namespaceCookie() throws(NetlinkError) -> UInt64 {
    do throws(SystemError) {
      return try NetworkNamespace.cookie(ofSocket: descriptor)
    } catch {
      throw NetlinkError("read namespace cookie", "", error)
    }
  }

  // MARK: Changes

  /// Makes changes, sent together and each acknowledged; the first that fails is thrown.
  ///
  /// The kernel works on them in order and goes on after one that failed.
  ///
  /// - Parameters:
  ///   - changes: what to change, in order.
  ///   - permit: the proof that the undo was recorded.
  ///   - deadline: when to give up waiting; the kernel may have made the changes all the same.
  /// - Throws: the first refusal in the order of the changes, or what `attempt` throws.
  public mutating func apply(
    _ changes: [NetlinkChange], _ permit: borrowing Permit, deadline: Deadline
  ) throws(NetlinkError) {
    for case let error? in try attempt(changes, permit, deadline: deadline) { throw error }
  }

  /// Makes changes, sent together and each acknowledged, and says for each whether it failed.
  ///
  /// - Parameters: as for `apply`.
  /// - Returns: an entry for each change, nil where it succeeded.
  /// - Throws: what kept the changes from being sent or their answers from being read.
  public mutating func attempt(
    _ changes: [NetlinkChange], _ permit: borrowing Permit, deadline: Deadline
  ) throws(NetlinkError) -> [NetlinkError?] {
    var outcomes: [NetlinkError?] = []
    var rest = changes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(NetlinkSocket.mostAtOnce)
      rest = rest.dropFirst(piece.count)
      outcomes += try exchange(Array(piece), deadline)
    }
    return outcomes
  }

  /// Sends changes in one datagram and reads their acknowledgements; the caller had the permit.
  mutating func exchange(
    _ changes: [NetlinkChange], _ deadline: Deadline
  ) throws(NetlinkError) -> [NetlinkError?] {
    guard let first = changes.first else { return [] }
    var bytes: [UInt8] = []
    var waiting: [UInt32: Int] = [:]
    for (place, change) in changes.enumerated() {
      let message = try change.finished(sequence: nextSequence())
      waiting[sequence] = place
      bytes += message
    }
    try send(bytes, first.operation, first.object, deadline)
    var outcomes = [NetlinkError?](repeating: nil, count: changes.count)
    while !waiting.isEmpty {
      let datagram = try receive(first.operation, first.object, deadline)
      try NetlinkSocket.read(datagram, first.operation, first.object) { message throws(WireError) in
        guard message.type == Int(NLMSG_ERROR) else { return }
        guard let place = waiting.removeValue(forKey: message.sequence) else { return }
        outcomes[place] = changes[place].outcome(try Acknowledgement(message))
      }
    }
    return outcomes
  }

  // MARK: Questions

  /// Asks for one object.
  ///
  /// - Parameters:
  ///   - request: the question.
  ///   - operation: what is asked, for the error.
  ///   - object: about what, for the error.
  ///   - deadline: when to give up.
  ///   - parse: makes the object of the answer; nil for a message that is no such object.
  /// - Returns: the object, or nil if the kernel acknowledged without giving one.
  /// - Throws: the kernel's refusal, or what kept the question or the answer from its way.
  public mutating func get<Value>(
    _ request: MessageBuilder, _ operation: String, _ object: String, deadline: Deadline,
    parse: (NetlinkMessage) throws(WireError) -> Value?
  ) throws(NetlinkError) -> Value? {
    let found = try ask(request, operation, object, deadline, isDump: false, parse)
    return found.first
  }

  /// Asks for all objects of a kind.
  ///
  /// A dump during which the kernel's tables changed (`NLM_F_DUMP_INTR`) is repeated until the
  /// deadline.
  ///
  /// - Parameters: as for `get`; the request needs no `NLM_F_DUMP`.
  /// - Throws: `timedOut` with the number of dumps if the tables never stood still.
  public mutating func dump<Value>(
    _ request: MessageBuilder, _ operation: String, _ object: String, deadline: Deadline,
    parse: (NetlinkMessage) throws(WireError) -> Value?
  ) throws(NetlinkError) -> [Value] {
    try ask(request, operation, object, deadline, isDump: true, parse)
  }

  private mutating func ask<Value>(
    _ request: MessageBuilder, _ operation: String, _ object: String, _ deadline: Deadline,
    isDump: Bool, _ parse: (NetlinkMessage) throws(WireError) -> Value?
  ) throws(NetlinkError) -> [Value] {
    if request.isTooLong { throw NetlinkError(operation, object, .messageSize) }
    var interruptions = 0
    while true {
      do throws(NetlinkError) {
        let answer: Answer<Value> = try askOnce(
          request, operation, object, deadline, isDump: isDump, parse)
        if !answer.isSpoilt { return answer.values }
        interruptions += 1
        try rest(after: interruptions, operation, object, deadline)
      } catch {
        guard interruptions > 0, error.errno == .timedOut else { throw error }
        throw NetlinkError(
          operation, object, .timedOut, kernelMessage: "interrupted \(interruptions) times")
      }
    }
  }

  /// Asks, and reads one answer to its end; whether it is of use is for the caller to see.
  private mutating func askOnce<Value>(
    _ request: MessageBuilder, _ operation: String, _ object: String, _ deadline: Deadline,
    isDump: Bool, _ parse: (NetlinkMessage) throws(WireError) -> Value?
  ) throws(NetlinkError) -> Answer<Value> {
    let question = request.finished(
      sequence: nextSequence(), acknowledged: false, flags: isDump ? NLM_F_DUMP : 0)
    try send(question, operation, object, deadline)
    let wanted = sequence
    var answer = Answer<Value>(isDump: isDump)
    while !answer.isComplete {
      switch try receiveOrCut(operation, object, deadline) {
      case .nothing, .foreign: continue
      case .cut(let length):
        guard room < NetlinkSocket.largestRoom else {
          throw NetlinkError(
            operation, object, .messageSize, kernelMessage: "an answer of \(length) bytes")
        }
        room = min(max(room, length), NetlinkSocket.largestRoom)
        answer.isSpoilt = true
        // The rest of a dump must be read before the kernel begins another.
        if !isDump { answer.isComplete = true }
      case .datagram(let datagram):
        try NetlinkSocket.read(datagram, operation, object) { message throws(WireError) in
          if message.sequence == wanted { try answer.take(message, parse) }
        }
        // Others decide how much there is to tell.
        if !answer.isComplete { try check(deadline, operation, object) }
      }
    }
    if let refusal = answer.refusal {
      throw NetlinkError(
        operation, object, Errno(rawValue: refusal.errorNumber), kernelMessage: refusal.message)
    }
    return answer
  }

  /// Leaves the kernel's tables time to stand still, longer after each interrupted dump.
  private func rest(
    after interruptions: Int, _ operation: String, _ object: String, _ deadline: Deadline
  ) throws(NetlinkError) {
    let excess = interruptions - NetlinkSocket.attemptsAtOnce
    guard excess > 0 else { return }
    let pause = min(excess, NetlinkSocket.longestPause)
    var nothing: [PollEntry] = []
    do throws(SystemError) {
      try deadline.capped(milliseconds: pause).wait(&nothing, operation, object)
    } catch {
      if error.errno != .timedOut { throw NetlinkError(operation, object, error) }
    }
  }

  // MARK: Datagrams

  private mutating func nextSequence() -> UInt32 {
    // Wraps by design; 0 is left to the kernel's notifications.
    sequence = sequence &+ 1
    if sequence == 0 { sequence = 1 }
    return sequence
  }

  private func check(
    _ deadline: Deadline, _ operation: String, _ object: String
  ) throws(NetlinkError) {
    do throws(SystemError) {
      try deadline.check(operation, object)
    } catch {
      throw NetlinkError(operation, object, error)
    }
  }

  private func send(
    _ bytes: [UInt8], _ operation: String, _ object: String, _ deadline: Deadline
  ) throws(NetlinkError) {
    try check(deadline, operation, object)
    do throws(Errno) {
      try Kernel.send(descriptor.rawValue, bytes)
    } catch {
      throw NetlinkError(operation, object, error)
    }
  }

  private func receive(
    _ operation: String, _ object: String, _ deadline: Deadline
  ) throws(NetlinkError) -> [UInt8] {
    while true {
      switch try receiveOrCut(operation, object, deadline) {
      case .nothing, .foreign: continue
      case .datagram(let datagram): return datagram
      case .cut(let length):
        throw NetlinkError(
          operation, object, .messageSize, kernelMessage: "an answer of \(length) bytes")
      }
    }
  }

  /// What the socket holds, after a wait if it holds nothing; the answer is mostly there already.
  private func receiveOrCut(
    _ operation: String, _ object: String, _ deadline: Deadline
  ) throws(NetlinkError) -> Kernel.Received {
    let received: Kernel.Received
    do throws(Errno) {
      received = try Kernel.receive(descriptor.rawValue, room: room)
    } catch {
      throw NetlinkError(operation, object, error)
    }
    do throws(SystemError) {
      switch received {
      case .nothing: break
      case .foreign:
        // There may be no end of them.
        try deadline.check(operation, object)
        return received
      case .datagram, .cut: return received
      }
      try deadline.wait(descriptor.rawValue, for: .read, operation, object)
    } catch {
      throw NetlinkError(operation, object, error)
    }
    return .nothing
  }

  private static func read(
    _ datagram: [UInt8], _ operation: String, _ object: String,
    _ body: (NetlinkMessage) throws(WireError) -> Void
  ) throws(NetlinkError) {
    do throws(WireError) {
      var reader = MessageReader(datagram[...])
      while let message = try reader.next() { try body(message) }
    } catch {
      throw NetlinkError(operation, object, error)
    }
  }
}

/// What has come of the answer to one question.
private struct Answer<Value> {
  let isDump: Bool
  var values: [Value] = []
  var isComplete = false
  /// Whether it must be asked for again: something changed meanwhile, or did not fit.
  var isSpoilt = false
  var refusal: Acknowledgement?

  init(isDump: Bool) { self.isDump = isDump }

  mutating func take(
    _ message: NetlinkMessage, _ parse: (NetlinkMessage) throws(WireError) -> Value?
  ) throws(WireError) {
    if message.flags & NLM_F_DUMP_INTR != 0 { isSpoilt = true }
    switch message.type {
    case Int(NLMSG_NOOP): return
    case Int(NLMSG_OVERRUN): isSpoilt = true
    case Int(NLMSG_ERROR), Int(NLMSG_DONE):
      isComplete = true
      // An old kernel ends a dump with an empty message.
      if message.type == Int(NLMSG_DONE), message.payload.isEmpty { return }
      let acknowledgement = try Acknowledgement(message)
      if acknowledgement.errorNumber != 0 { refusal = acknowledgement }
    default:
      if let value = try parse(message) { values.append(value) }
      if !isDump { isComplete = true }
    }
  }
}
