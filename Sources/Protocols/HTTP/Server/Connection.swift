#if !hasFeature(Embedded)
  import Linux

  /// One client's connection; used by the server's thread alone.
  final class Connection {
    /// What it is waiting for.
    enum Stage {
      /// The rest of the request.
      case reading
      /// The handler's answer.
      case handling
      /// The client, to take the answer.
      case writing
      /// The client, to end what it is sending although it has been refused.
      case lingering
    }

    let id: UInt64
    let socket: FileDescriptor
    let peer: PeerCredentials?
    let isProbe: Bool
    /// CLOCK_MONOTONIC when it was accepted.
    let accepted: UInt64

    var stage = Stage.reading
    /// When the stage must be over; `.max` for never.
    var deadline: UInt64
    var parser: HTTPRequestParser
    /// Bytes of the request that have come.
    var received = 0
    var hasSentContinue = false
    /// Whether the answer must not have a body.
    var isToHead = false
    /// Whether the client may still be sending when it gets its answer.
    var isRefused = false
    weak var exchange: HTTPExchange?

    private var output: [UInt8] = []
    private var sent = 0
    var whenDone: (@Sendable (HTTPExchange.Delivery) -> Void)?

    init(
      id: UInt64, socket: consuming FileDescriptor, peer: PeerCredentials?, isProbe: Bool,
      accepted: UInt64, deadline: UInt64, limits: HTTPLimits
    ) {
      self.id = id
      self.socket = socket
      self.peer = peer
      self.isProbe = isProbe
      self.accepted = accepted
      self.deadline = deadline
      parser = HTTPRequestParser(limits: limits)
    }

    func setOutput(_ bytes: [UInt8]) {
      output = bytes
      sent = 0
    }

    /// Sends as much as the client takes.
    ///
    /// - Returns: whether all of it was taken.
    /// - Throws: the error of send(2) other than a full socket.
    func flush() throws(SystemError) -> Bool {
      while sent < output.count {
        do throws(SystemError) {
          sent += try Descriptor.send(socket.rawValue, output, from: sent)
        } catch {
          if error.errno == .again { return false }
          throw error
        }
      }
      output = []
      sent = 0
      return true
    }

    /// Tells the sender of the answer what became of it, once.
    func report(_ delivery: HTTPExchange.Delivery) {
      let report = whenDone
      whenDone = nil
      report?(delivery)
    }
  }
#endif
