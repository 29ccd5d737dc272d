public import Addresses
import HTTP
import JSON
public import Linux

/// The vRouter agent's port API, a connection for each request and never a proxy.
///
/// Counterpart of `VRouter` in the original's `contrail` package.
public struct VRouter: Sendable {
  /// The agent's port files.
  public let files: PortFiles
  let pollMilliseconds: Int
  let pollRetries: Int
  /// What lasts; only tests change it.
  var time = AgentTime()
  private let client: HTTPClient
  private let requests: RequestLog

  /// Names the agent; nothing is opened yet.
  ///
  /// - Parameters:
  ///   - server: the agent's address.
  ///   - port: its port, 9091 by custom.
  ///   - files: its port files.
  ///   - pollMilliseconds: the pause between two questions for what is not ready.
  ///   - pollRetries: how often it is asked; less than once is once.
  ///   - log: gets one line for each request.
  public init(
    server: IPAddress, port: UInt16, files: PortFiles, pollMilliseconds: Int, pollRetries: Int,
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.files = files
    self.pollMilliseconds = max(0, pollMilliseconds)
    self.pollRetries = max(1, pollRetries)
    requests = RequestLog(log)
    client = HTTPClient(
      .tcp(server, port: port), limits: HTTPLimits(body: 4 << 20), connectMilliseconds: 1000)
  }

  /// Where the agent is, such as `127.0.0.1:9091`.
  public var address: String { "\(client.endpoint)" }

  /// Writes into the log with whom it speaks, and how.
  public func log() {
    requests.write(
      "agent \(client.endpoint), port files in \(files.directory), \(pollRetries) polls with pauses of"
        + " \(pollMilliseconds) ms")
  }

  /// Ends the log: nothing is written to it from here on.
  public func close() { requests.close() }

  /// Asks once.
  ///
  /// - Returns: the objects of the answer, in its order.
  /// - Throws: `refused` for any status but 200, `unreachable` for an answer that is not HTTP.
  public func get(_ path: String, deadline: Deadline) throws(VRouterError) -> [Result] {
    let operation = "GET \(path)"
    let response = try exchange("GET", path, deadline)
    guard response.status == 200 else { throw Self.refusal(response, operation) }
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(response.body)
    } catch {
      throw VRouterError(
        .unreachable("the answer is no JSON: \(error)", refused: false), operation: operation)
    }
    guard let elements = value.array else {
      throw VRouterError(
        .unreachable("the answer is \(value.kind), not an array", refused: false),
        operation: operation)
    }
    return elements.map { Result($0) }
  }

  /// Asks whether the agent serves requests at all.
  ///
  /// - Throws: `unreachable`, or `refused` for an answer that no agent gives.
  public func isAnswering(deadline: Deadline) throws(VRouterError) {
    let path = "/vm/\(VRouterUUID.none)"
    let response = try exchange("GET", path, deadline)
    guard response.status == 200 || response.status == 404 else {
      throw Self.refusal(response, "GET \(path)")
    }
  }
}

/// How long the client waits, and how.
struct AgentTime: Sendable {
  /// How long one request may take with its answer, however late the deadline is.
  var requestMilliseconds = 5000
  /// Pauses; throws `cancelled` if the deadline's cancellation was used meanwhile.
  var pause: @Sendable (_ milliseconds: Int, Deadline) throws(SystemError) -> Void = {
    milliseconds, deadline throws(SystemError) in
    var nothing: [PollEntry] = []
    do throws(SystemError) {
      try deadline.capped(milliseconds: milliseconds).wait(&nothing, "pause")
    } catch {
      if error.errno != .timedOut { throw error }
    }
  }
}

extension VRouter {
  /// Sends a request and waits for its answer, whatever its status.
  func exchange(
    _ method: String, _ path: String, body: [UInt8] = [], _ deadline: Deadline
  ) throws(VRouterError) -> HTTPResponse {
    do throws(HTTPClientError) {
      return try send(method, path, body: body, deadline)
    } catch {
      throw VRouterError(error, operation: "\(method) \(path)")
    }
  }

  /// The same, for a caller that must know how far the exchange came.
  func send(
    _ method: String, _ path: String, body: [UInt8], _ deadline: Deadline
  ) throws(HTTPClientError) -> HTTPResponse {
    var request = HTTPRequest(method: method, target: path, body: body)
    if !body.isEmpty { request.headers.append("Content-Type", "application/json") }
    let start = KernelClock.monotonic
    do throws(HTTPClientError) {
      let response = try client.send(
        request, deadline: deadline.capped(milliseconds: time.requestMilliseconds))
      requests.write(request, "\(response.status)", since: start, answer: response.body)
      return response
    } catch {
      requests.write(request, error.description, since: start, answer: [])
      throw error
    }
  }

  /// An answer's refusal in the agent's own words.
  static func refusal(_ response: HTTPResponse, _ operation: String) -> VRouterError {
    VRouterError(
      .refused(status: response.status, AgentText.reason(response.body)), operation: operation)
  }
}
