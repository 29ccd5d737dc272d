public import Linux

/// Removes links and returns as soon as the kernel has announced that one is gone.
///
/// The kernel sends `RTM_DELLINK` to the listeners when the link has left the namespace (its name
/// and addresses are free), and acknowledges the request only when its memory is free, some 18 ms
/// later. So a thread sends the request and waits for the acknowledgement, while the caller
/// listens. The thread's socket keeps the namespace alive no longer than that.
///
/// There are at most `limit` such threads; a further removal waits for one to end.
public final class LinkRemover: Sendable {
  /// What has come of a removal.
  public enum Outcome: Sendable, Equatable {
    /// The link is gone; a new one of the same name and address can be made.
    case removed
    /// There was no link of that name.
    case absent
    /// The link was left alone: the condition refused it.
    case kept
  }

  /// Decides about a link by its description and its namespace's cookie (`SO_NETNS_COOKIE`).
  public typealias Condition = @Sendable (_ link: Link, _ namespaceCookie: UInt64) -> Bool

  private let places: Places
  private let onFailure: @Sendable (NetlinkError) -> Void

  /// Creates a remover.
  ///
  /// - Parameters:
  ///   - limit: how many acknowledgements may be awaited at a time.
  ///   - onFailure: called, on a thread of its own, when an acknowledgement is an error after the
  ///     caller was told that the link is gone, or has given up.
  /// - Throws: when there are no descriptors left.
  public init(
    limit: Int = 64, onFailure: @escaping @Sendable (NetlinkError) -> Void = { _ in }
  ) throws(NetlinkError) {
    do throws(SystemError) {
      places = try Places(limit: limit)
    } catch {
      throw NetlinkError("open eventfd", "", error)
    }
    self.onFailure = onFailure
  }

  /// How many acknowledgements are awaited now.
  public var pending: Int { places.taken }

  /// Waits until no acknowledgement is awaited, for a shutdown.
  ///
  /// - Parameter deadline: when to give up.
  /// - Throws: `Errno.timedOut` when some are still awaited.
  public func drain(deadline: Deadline) throws(NetlinkError) {
    try places.waitUntilFree(deadline)
  }

  /// Removes a link of a namespace.
  ///
  /// - Parameters:
  ///   - name: the link's name there.
  ///   - namespace: the namespace; not needed any more afterwards.
  ///   - permit: the proof that the undo was recorded.
  ///   - deadline: when to give up waiting; the kernel may remove the link all the same.
  ///   - condition: whether it is the right link; runs on another thread, before
  ///     anything is removed.
  /// - Returns: what has become of the link.
  /// - Throws: the kernel's refusal, or what kept us from asking.
  public func remove(
    linkNamed name: String, in namespace: borrowing NetworkNamespace, _ permit: borrowing Permit,
    deadline: Deadline, where condition: @escaping Condition = { _, _ in true }
  ) throws(NetlinkError) -> Outcome {
    try places.take(deadline)
    let removal: Removal
    do throws(NetlinkError) {
      removal = try start(
        name, try NamespaceSockets.open(in: namespace, listeningTo: [.links]), condition)
    } catch {
      places.giveBack()
      throw error
    }
    return try removal.wait(deadline)
  }

  private func start(
    _ name: String, _ sockets: consuming NamespaceSockets, _ condition: @escaping Condition
  ) throws(NetlinkError) -> Removal {
    do throws(SystemError) {
      let removal = try Removal(name: name, sockets: sockets, condition: condition)
      let (places, onFailure) = (places, onFailure)
      try OSThread.start {
        if let failure = removal.run() { onFailure(failure) }
        places.giveBack()
      }
      return removal
    } catch {
      throw NetlinkError("remove link", name, error)
    }
  }
}

/// How many threads may still be started, and whether any runs.
private final class Places: Sendable {
  private let limit: Int
  private let count = Mutex(0)
  /// Signalled exactly while a place is free; changed under the lock.
  private let someFree: EventDescriptor
  /// Signalled exactly while every place is free; changed under the lock.
  private let allFree: EventDescriptor

  init(limit: Int) throws(SystemError) {
    self.limit = max(1, limit)
    someFree = try EventDescriptor()
    allFree = try EventDescriptor()
    someFree.signal()
    allFree.signal()
  }

  var taken: Int { count.withLock { $0 } }

  func take(_ deadline: Deadline) throws(NetlinkError) {
    while true {
      let isTaken = count.withLock { count in
        guard count < limit else { return false }
        count += 1
        if count == limit { someFree.reset() }
        allFree.reset()
        return true
      }
      if isTaken { return }
      try wait(someFree.descriptor, deadline, "wait for earlier removals")
    }
  }

  func giveBack() {
    count.withLock { count in
      count -= 1
      someFree.signal()
      if count == 0 { allFree.signal() }
    }
  }

  func waitUntilFree(_ deadline: Deadline) throws(NetlinkError) {
    try wait(allFree.descriptor, deadline, "wait for removals to be acknowledged")
  }

  private func wait(
    _ event: borrowing FileDescriptor, _ deadline: Deadline, _ operation: String
  ) throws(NetlinkError) {
    do throws(SystemError) {
      try deadline.wait(event.rawValue, for: .read, operation)
    } catch {
      throw NetlinkError(operation, "", error)
    }
  }
}

/// One removal: what its thread does, and what its caller waits for.
private final class Removal: Sendable {
  private struct State: ~Copyable {
    /// The thread takes it.
    var sockets: NamespaceSockets?
    /// Listens to the links; the caller takes it.
    var listener: NotificationSocket?
    /// The link's number, from when the request is about to be sent.
    var index: UInt32?
    var result: Result<LinkRemover.Outcome, NetlinkError>?
    /// Whether the caller has its answer, so that a later failure is nobody's.
    var isCallerGone = false
  }

  private let name: String
  private let condition: LinkRemover.Condition
  private let state: Mutex<State>
  /// Signalled at each step of the thread.
  private let step: EventDescriptor

  init(
    name: String, sockets: consuming NamespaceSockets, condition: @escaping LinkRemover.Condition
  ) throws(SystemError) {
    self.name = name
    self.condition = condition
    step = try EventDescriptor()
    state = Mutex(State(sockets: sockets))
  }

  // MARK: The thread

  /// Does the work on a thread that ends with it.
  ///
  /// - Returns: a failure that came after the caller had its answer.
  func run() -> NetlinkError? {
    let result: Result<LinkRemover.Outcome, NetlinkError>
    do throws(NetlinkError) {
      result = .success(try work())
    } catch {
      result = .failure(error)
    }
    let isCallerGone = state.withLock { state in
      state.result = result
      return state.isCallerGone
    }
    step.signal()
    guard isCallerGone, case .failure(let error) = result else { return nil }
    return error
  }

  private func work() throws(NetlinkError) -> LinkRemover.Outcome {
    guard var sockets = state.withLock({ state in state.sockets.take() }) else { return .absent }
    let listener = sockets.listener.take()
    // The kernel's answers are there when the call returns; this only bounds a broken one.
    let deadline = Deadline.after(seconds: 60)
    guard let link = try sockets.socket.link(named: name, deadline: deadline) else {
      return .absent
    }
    guard condition(link, try sockets.socket.namespaceCookie()) else { return .kept }
    publish(listener, link.index)
    let request = NetlinkChange.deleteLink(index: link.index, name: name)
    // ENODEV: somebody else has removed it meanwhile, or its namespace.
    let outcomes = try sockets.socket.exchange([request.tolerating(.noDevice)], deadline)
    for case let error? in outcomes { throw error }
    return .removed
  }

  private func publish(_ listener: consuming NotificationSocket?, _ index: UInt32) {
    var listener = listener
    state.withLock { state in
      state.listener = listener.take()
      state.index = index
    }
    step.signal()
  }

  // MARK: The caller

  /// Waits for the announcement or for the thread's end, whichever is first.
  func wait(_ deadline: Deadline) throws(NetlinkError) -> LinkRemover.Outcome {
    defer { leave() }
    var listener: NotificationSocket?
    var index: UInt32?
    while true {
      step.reset()
      var found: Result<LinkRemover.Outcome, NetlinkError>?
      state.withLock { state in
        if listener == nil { listener = state.listener.take() }
        index = state.index
        found = state.result
      }
      if let found { return try found.get() }
      if try isAnnounced(index, &listener) { return try leave()?.get() ?? .removed }
      var entries = [PollEntry(step.descriptor.rawValue, .read)]
      if let number = listener?.descriptor.rawValue { entries.append(PollEntry(number, .read)) }
      do throws(SystemError) {
        try deadline.wait(&entries, "remove link", name)
      } catch {
        throw NetlinkError("remove link", name, error)
      }
    }
  }

  /// Says that later failures are nobody's any more.
  ///
  /// - Returns: the result, if the thread has come to its end meanwhile.
  @discardableResult
  private func leave() -> Result<LinkRemover.Outcome, NetlinkError>? {
    state.withLock { state in
      state.isCallerGone = true
      return state.result
    }
  }

  /// Whether the link's end is among what has been announced; when something was lost, the
  /// acknowledgement decides.
  private func isAnnounced(
    _ index: UInt32?, _ listener: inout NotificationSocket?
  ) throws(NetlinkError) -> Bool {
    do throws(NetlinkError) {
      while let notification = try listener?.nextIfAny() {
        // Other families speak of a role of the link, such as a bridge's port.
        guard case .linkRemoved(let link, family: 0) = notification else { continue }
        if link.index == index { return true }
      }
    } catch {
      guard error.errno == .noBuffers else { throw error }
      listener = nil
    }
    return false
  }
}
