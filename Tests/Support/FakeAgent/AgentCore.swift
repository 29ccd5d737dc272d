import Addresses
import Glibc
import Linux

/// What an agent and its threads share.
final class AgentCore: Sendable {
  private struct Script: Sendable {
    let method: String
    let prefix: String
    var answers: [AgentAnswer]
  }

  private struct State: Sendable {
    var memory = AgentMemory()
    var scripts: [Script] = []
    var requests: [AgentRequest] = []
    var forgotten = 0
    var violations: [String] = []
    var connections = 0
    var threads = 0
    var stopping: Cancellation?
    var port: UInt16
  }

  private let state: Mutex<State>
  private let namespace: String?

  init(namespace: String?, port: UInt16) {
    self.namespace = namespace
    state = Mutex(State(port: port))
  }

  // MARK: Life

  var port: UInt16 { state.withLock { $0.port } }
  var isRunning: Bool { state.withLock { $0.stopping != nil } }

  /// Listens and begins to serve.
  func start() throws(SystemError) {
    let stopping = try Cancellation()
    let (listener, port) = try listen()
    state.withLock { state in
      state.port = port
      state.stopping = stopping
      state.threads += 1
    }
    readPortFiles()
    try OSThread.start {
      self.accept(FileDescriptor(adopting: listener), stopping)
      self.threadEnded()
    }
  }

  /// Closes the listener and all connections; returns when that is done.
  func stop() {
    beginToStop()
    while state.withLock({ $0.threads > 0 }) { Clock.pause(milliseconds: 1) }
  }

  /// The same without waiting.
  func beginToStop() {
    state.withLock { state in
      state.stopping?.cancel()
      state.stopping = nil
    }
  }

  /// A listening socket in the agent's namespace, and its port.
  private func listen() throws(SystemError) -> (Int32, UInt16) {
    let (namespace, port) = (namespace, port)
    let made = try OSThread.run { () -> Result<(Int32, UInt16), SystemError> in
      do throws(SystemError) {
        if let namespace { try NetworkNamespace(path: namespace).enter() }
        let listener = try TCPSocket.listen(IPAddress(v4: 0), port: port)
        let chosen = try TCPSocket.port(of: listener)
        return .success((listener.release(), chosen))
      } catch {
        return .failure(error)
      }
    }
    return try made.get()
  }

  private func accept(_ listener: consuming FileDescriptor, _ stopping: Cancellation) {
    let deadline = Deadline(nanoseconds: .max, cancellation: stopping)
    while (try? deadline.wait(listener.rawValue, for: .read, "accept")) != nil {
      guard let accepted = try? Listener.accept(listener) else { continue }
      let connection = accepted.release()
      let number = state.withLock { state in
        state.threads += 1
        state.connections += 1
        return state.connections
      }
      do throws(SystemError) {
        try OSThread.start {
          AgentConnection(self, number, deadline).serve(FileDescriptor(adopting: connection))
          self.threadEnded()
        }
      } catch {
        _ = FileDescriptor(adopting: connection)
        threadEnded()
      }
    }
    // A program that is being started may have a copy of it, which would go on listening.
    _ = shutdown(listener.rawValue, Int32(SHUT_RDWR))
  }

  private func threadEnded() { state.withLock { $0.threads -= 1 } }

  // MARK: Port files

  /// Reads the port files as the agent does at its start: `VMDIR/*/<uuid...>`.
  ///
  /// A file whose link is not on the node is passed over, and so is one that cannot be read.
  private func readPortFiles() {
    guard let directory = memory.portFiles else { return }
    let links = linksOfNode()
    for name in (try? Files.list(directory))?.sorted() ?? [] {
      for file in (try? Files.list("\(directory)/\(name)"))?.sorted() ?? []
      where AgentUUID.isDashed(String(file.prefix(36))) {
        guard let bytes = try? Files.read("\(directory)/\(name)/\(file)") else { continue }
        changeMemory { $0.reread(bytes, links: links) }
      }
    }
  }

  private func linksOfNode() -> Set<String> {
    let namespace = namespace
    // sysfs shows the namespace of its mount, this file that of the thread.
    let lines = try? OSThread.run { () -> [UInt8] in
      if let namespace, (try? NetworkNamespace(path: namespace).enter()) == nil { return [] }
      return (try? Files.read("/proc/thread-self/net/dev")) ?? []
    }
    let text = String(decoding: lines ?? [], as: UTF8.self)
    return Set(
      text.split(separator: "\n").compactMap { line in
        line.split(separator: ":").first.map { String($0.drop { $0 == " " }) }
      })
  }

  // MARK: Memory, scripts, log

  var memory: AgentMemory { state.withLock { $0.memory } }
  func changeMemory(_ change: @Sendable (inout AgentMemory) -> Void) {
    state.withLock { change(&$0.memory) }
  }

  func script(_ method: String, _ prefix: String, _ answers: [AgentAnswer]) {
    state.withLock { state in
      state.scripts.removeAll { $0.method == method && $0.prefix == prefix }
      if !answers.isEmpty {
        state.scripts.append(Script(method: method, prefix: prefix, answers: answers))
      }
    }
  }

  var requests: [AgentRequest] {
    state.withLock { Array($0.requests.dropFirst($0.forgotten)) }
  }
  func forgetRequests() {
    // A request that is being answered keeps its place.
    state.withLock { state in state.forgotten = state.requests.count }
  }
  var connections: Int { state.withLock { $0.connections } }
  var violations: [String] { state.withLock { $0.violations } }
  func violation(_ text: String) { state.withLock { $0.violations.append(text) } }

  /// Takes a request into the log.
  ///
  /// - Returns: its place there, and what it gets.
  func begin(_ request: AgentRequest) -> (place: Int, answer: AgentAnswer) {
    state.withLock { state in
      state.requests.append(request)
      if request.method == "POST", request.path == "/syncports" {
        state.violations.append("POST /syncports unplugs every pod of the node")
      }
      var answer = AgentAnswer.memory
      // The longest prefix is the nearest.
      let matching = state.scripts.indices.filter {
        state.scripts[$0].method == request.method
          && request.path.hasPrefix(state.scripts[$0].prefix)
      }
      if let best = matching.max(by: {
        state.scripts[$0].prefix.utf8.count < state.scripts[$1].prefix.utf8.count
      }) {
        answer = state.scripts[best].answers.first ?? .memory
        if state.scripts[best].answers.count > 1 { state.scripts[best].answers.removeFirst() }
      }
      return (state.requests.count - 1, answer)
    }
  }

  /// What the state machine says.
  func answer(_ request: AgentRequest) -> (Int, [UInt8]) {
    state.withLock { $0.memory.answer(request.method, request.path, request.body) }
  }

  func update(_ place: Int, _ change: @Sendable (inout AgentRequest) -> Void) {
    state.withLock { state in
      if state.requests.indices.contains(place) { change(&state.requests[place]) }
    }
  }
}
