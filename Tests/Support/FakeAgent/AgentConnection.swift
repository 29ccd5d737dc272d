import Linux

/// One connection: reads a request, answers it, reads the next; it is the client who closes.
struct AgentConnection {
  private let core: AgentCore
  private let number: Int
  private let deadline: Deadline

  init(_ core: AgentCore, _ number: Int, _ deadline: Deadline) {
    self.core = core
    self.number = number
    self.deadline = deadline
  }

  /// Serves it until either side closes.
  func serve(_ socket: consuming FileDescriptor) {
    let socket = socket
    var bytes: [UInt8] = []
    var isCorrupted = false
    while true {
      switch AgentParser.parse(bytes) {
      case .needsMore:
        guard read(socket, &bytes) else { return }
      case .malformed:
        // No answer, and no other from now on.
        core.violation("connection \(number): not HTTP: \(String(decoding: bytes, as: UTF8.self))")
        waitForHangUp(socket)
        return
      case .message(var message, let used):
        bytes.removeFirst(used)
        let isMerged = merge(&message, &bytes)
        if isCorrupted { message.target = "/corrupted\(message.target)" }
        isCorrupted = isCorrupted || isMerged
        guard answer(message, socket, &bytes) else { return }
      }
    }
  }

  /// A second request in the same segment: the last method and path win, bodies are joined.
  private func merge(_ message: inout AgentParser.Message, _ bytes: inout [UInt8]) -> Bool {
    var isMerged = false
    while case .message(let next, let used) = AgentParser.parse(bytes) {
      core.violation("connection \(number): \(next.target) before \(message.target) was answered")
      (message.method, message.target) = (next.method, next.target)
      message.body += next.body
      bytes.removeFirst(used)
      isMerged = true
    }
    return isMerged
  }

  /// Answers one request; false if the connection is over.
  private func answer(
    _ message: AgentParser.Message, _ socket: borrowing FileDescriptor, _ bytes: inout [UInt8]
  ) -> Bool {
    let path = message.target.prefix { $0 != "?" }
    let request = AgentRequest(
      method: message.method, path: String(path), head: message.head, body: message.body,
      connection: number, arrived: Self.milliseconds)
    let (place, answer) = core.begin(request)
    guard pause(answer.delay, socket, request) else { return false }
    let pieces = answer.pieces
    switch answer.content {
    case .memory:
      let (status, body) = core.answer(request)
      return send(AgentAnswer.message(status, body), status, place, socket, pieces)
    case .body(let status, let body):
      return send(AgentAnswer.message(status, body), status, place, socket, pieces)
    case .bytes(let bytes, let closing):
      return send(bytes, nil, place, socket, pieces) && !closing
    case .truncated(let status, let body):
      let whole = AgentAnswer.message(status, body)
      _ = send(Array(whole.dropLast(body.count / 2)), status, place, socket, pieces)
      return false
    case .drip(let seconds):
      drip(seconds, place, socket)
      return false
    case .huge(let count, let announced):
      return huge(count, announced, place, socket) && announced
    case .hang:
      _ = pause(.max, socket, request)
      return false
    case .close: return false
    }
  }

  private static var milliseconds: UInt64 { KernelClock.monotonic / 1_000_000 }

  /// Lets time pass while an answer is pending; false if the connection is over.
  private func pause(
    _ milliseconds: Int, _ socket: borrowing FileDescriptor, _ request: AgentRequest
  ) -> Bool {
    let end = deadline.capped(milliseconds: milliseconds)
    while milliseconds > 0 {
      do throws(SystemError) {
        try end.wait(socket.rawValue, for: .read, "wait")
      } catch {
        return error.errno == .timedOut
      }
      var more: [UInt8] = []
      guard let count = try? Descriptor.read(socket.rawValue, into: &more), count > 0 else {
        return false
      }
      core.violation("connection \(number): \(count) bytes while \(request.line) was pending")
    }
    return true
  }

  private func send(
    _ bytes: [UInt8], _ status: Int?, _ place: Int, _ socket: borrowing FileDescriptor,
    _ pieces: (size: Int, pause: Int)?
  ) -> Bool {
    core.update(place) { request in
      request.answering = Self.milliseconds
      request.status = status
    }
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(pieces?.size ?? rest.count)
      rest = rest.dropFirst(piece.count)
      do throws(SystemError) {
        try Descriptor.sendAll(socket.rawValue, Array(piece), deadline: deadline)
      } catch {
        return false
      }
      if let pieces, pieces.pause > 0 { Clock.pause(milliseconds: pieces.pause) }
    }
    core.update(place) { $0.answered = Self.milliseconds }
    return true
  }

  /// A head, then a byte a second until the client has enough.
  private func drip(_ seconds: Int, _ place: Int, _ socket: borrowing FileDescriptor) {
    guard send(Array(AgentAnswer.head(200, 4096).utf8), 200, place, socket, nil) else { return }
    while true {
      let end = deadline.capped(milliseconds: seconds * 1000)
      do throws(SystemError) {
        try end.wait(socket.rawValue, for: .read, "wait")
        return
      } catch {
        guard error.errno == .timedOut else { return }
      }
      guard (try? Descriptor.send(socket.rawValue, [32])) != nil else { return }
    }
  }

  private func huge(
    _ count: Int, _ announced: Bool, _ place: Int, _ socket: borrowing FileDescriptor
  ) -> Bool {
    let head = AgentAnswer.head(200, announced ? count : nil)
    guard send(Array(head.utf8), 200, place, socket, nil) else { return false }
    let piece = [UInt8](repeating: 0x20, count: 1 << 16)
    var left = count
    while left > 0 {
      let next = left < piece.count ? Array(piece.prefix(left)) : piece
      guard (try? Descriptor.sendAll(socket.rawValue, next, deadline: deadline)) != nil else {
        return false
      }
      left -= next.count
    }
    core.update(place) { $0.answered = Self.milliseconds }
    return true
  }

  /// Reads what there is; false if the connection is over.
  private func read(_ socket: borrowing FileDescriptor, _ bytes: inout [UInt8]) -> Bool {
    while true {
      do throws(SystemError) {
        try deadline.wait(socket.rawValue, for: .read, "read")
        return try Descriptor.read(socket.rawValue, into: &bytes) > 0
      } catch {
        if error.errno != .again { return false }
      }
    }
  }

  private func waitForHangUp(_ socket: borrowing FileDescriptor) {
    var ignored: [UInt8] = []
    while read(socket, &ignored) { ignored = [] }
  }
}
