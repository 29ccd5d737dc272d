import DaemonAPI
import Linux

/// Asks `/healthz` through the socket, as a client does, so that the watchdog knows whether clients
/// get in.
///
/// For one thread, which it never keeps waiting: an answer is read by a later call.
final class DoorProbe {
  private let path: String
  private let pause: UInt64
  private let fallback: () -> UInt64
  private var connection: FileDescriptor?
  /// When the last question was asked, and when one was last answered, CLOCK_MONOTONIC.
  private var asked: UInt64 = 0
  private var answered = KernelClock.monotonic

  private static let question = Array(
    "GET \(Endpoint.healthz.rawValue) HTTP/1.1\r\nHost: cnid\r\nConnection: close\r\n\r\n".utf8)
  /// A question that is older is asked again, on another connection.
  private static let patience: UInt64 = 5_000_000_000

  /// Creates one that takes the door for good from now on.
  ///
  /// - Parameters:
  ///   - path: the socket.
  ///   - pause: nanoseconds between two questions.
  ///   - fallback: when the server was last alive, for moments without a descriptor to ask with.
  init(_ path: String, pause: UInt64, fallback: @escaping () -> UInt64) {
    self.path = path
    self.pause = pause
    self.fallback = fallback
  }

  /// When a question was last answered; asks the next one if it is time.
  func pulse() -> UInt64 {
    let now = KernelClock.monotonic
    read(now)
    let age = now &- asked
    if connection == nil ? age >= pause : age >= Self.patience { ask(now) }
    return answered
  }

  private func ask(_ now: UInt64) {
    asked = now
    connection = nil
    do throws(SystemError) {
      let socket = try UnixSocket.connect(path)
      _ = try Descriptor.send(socket.rawValue, Self.question)
      connection = consume socket
    } catch {
      switch error.errno {
      case .tooManyFiles, .tooManyFilesInSystem, .noMemory, .noBuffers:
        answered = max(answered, fallback())
      default: break
      }
    }
  }

  private func read(_ now: UInt64) {
    guard let number = connection?.rawValue else { return }
    var bytes: [UInt8] = []
    do throws(SystemError) {
      _ = try Descriptor.read(number, into: &bytes, limit: 4096)
      if bytes.starts(with: "HTTP/1.1 200".utf8) { answered = now }
    } catch {
      if error.errno == .again { return }
    }
    connection = nil
  }
}
