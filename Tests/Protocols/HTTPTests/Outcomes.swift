import HTTP

/// What became of a message that was fed to a parser in pieces.
enum Outcome<Message: Equatable & Sendable>: Equatable, Sendable {
  case complete(Message)
  case refused(HTTPError.Reason)
  case incomplete
}

/// Feeds the pieces, then ends the connection unless told not to.
func parseRequest(
  _ pieces: [ArraySlice<UInt8>], limits: HTTPLimits = .server, ends: Bool = false
) -> Outcome<HTTPRequest> {
  var parser = HTTPRequestParser(limits: limits)
  var result: HTTPRequest?
  do throws(HTTPError) {
    for piece in pieces {
      if let request = try parser.feed(piece) { result = request }
    }
    if ends { try parser.finish() }
  } catch {
    return .refused(error.reason)
  }
  return result.map { .complete($0) } ?? .incomplete
}

/// Feeds the pieces, then ends the connection unless told not to.
func parseResponse(
  _ pieces: [ArraySlice<UInt8>], limits: HTTPLimits = .client, toHead: Bool = false,
  ends: Bool = false
) -> Outcome<HTTPResponse> {
  var parser = HTTPResponseParser(limits: limits, toHead: toHead)
  var result: HTTPResponse?
  do throws(HTTPError) {
    for piece in pieces {
      if let response = try parser.feed(piece) { result = response }
    }
    if ends, let response = try parser.finish() { result = response }
  } catch {
    return .refused(error.reason)
  }
  return result.map { .complete($0) } ?? .incomplete
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Every way to cut the bytes in two, and one byte at a time.
func cuts(of message: [UInt8]) -> [[ArraySlice<UInt8>]] {
  var all = (0...message.count).map { [message[..<$0], message[$0...]] }
  all.append(message.indices.map { message[$0...$0] })
  return all
}

/// Small limits that a short message can reach.
let tight = HTTPLimits(startLine: 20, headerBytes: 60, headerCount: 3, body: 10)
