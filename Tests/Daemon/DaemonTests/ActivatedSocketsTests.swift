import Addresses
@testable import Daemon
import Glibc
import Linux
import Records
import Testing
import TestSupport

@Suite("Activated sockets")
struct ActivatedSocketsTests {
  /// Runs a body in a process of its own, whose descriptors from 100 on are what a service
  /// manager hands over.
  private static let first: Int32 = 100

  /// Moves a descriptor to a number.
  private static func place(_ socket: borrowing FileDescriptor, at number: Int32) {
    precondition(dup2(socket.rawValue, number) == number)
  }

  private static func take(
    _ count: String, names: String? = nil, pid: String? = nil, _ configuration: Configuration
  ) throws(StartError) -> ActivatedSockets {
    var environment = ["LISTEN_FDS": count, "LISTEN_PID": pid ?? "\(getpid())"]
    environment["LISTEN_FDNAMES"] = names
    return try ActivatedSockets(
      environment: environment, pid: getpid(), configuration: configuration, first: first)
  }

  private static func fault(
    _ count: String, names: String? = nil, _ configuration: Configuration
  ) -> String {
    do throws(StartError) {
      _ = try take(count, names: names, configuration)
      return ""
    } catch {
      return error.description
    }
  }

  private static func configuration(_ directory: TemporaryDirectory) -> Configuration {
    var configuration = Configuration()
    configuration.socketDirectory = directory("run")
    configuration.sockets = [directory("second.sock")]
    return configuration
  }

  @Test("nothing is taken without the variables, or if they are meant for another process")
  func none() async {
    await #expect(processExitsWith: .success) {
      let nothing = try ActivatedSockets(
        environment: [:], pid: 1, configuration: Configuration())
      precondition(nothing.addresses.isEmpty)
      let others = try Self.take("2", pid: "1", Configuration())
      precondition(others.addresses.isEmpty)
      let zero = try Self.take("0", Configuration())
      precondition(zero.addresses.isEmpty)
    }
  }

  @Test("sockets are found by their path, get CLOEXEC, and each is taken once")
  func unix() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      var configuration = Self.configuration(directory)
      configuration.logFile = directory("log")
      let log = try Log(configuration)
      try Files.makeDirectory(directory("run"), permissions: 0o700)
      Self.place(try UnixSocket.listen(directory("second.sock")), at: 100)
      Self.place(try UnixSocket.listen(directory("run/cnid.sock")), at: 101)
      precondition(fcntl(100, F_GETFD) == 0)
      let sockets = try Self.take("2", names: "second:first", configuration)
      precondition(fcntl(100, F_GETFD) == FD_CLOEXEC && fcntl(101, F_GETFD) == FD_CLOEXEC)
      precondition(sockets.addresses.count == 2)
      do {
        guard let taken = sockets.take(path: directory("run/cnid.sock"), log: log) else {
          preconditionFailure("not found")
        }
        precondition(taken.rawValue == 101)
        precondition(sockets.take(path: directory("run/cnid.sock"), log: log).isNone)
        precondition(sockets.take(path: directory("else.sock"), log: log).isNone)
      }
      // What was taken closes with its taker, what nobody took with the list.
      precondition(fcntl(101, F_GETFD) == -1 && fcntl(100, F_GETFD) == FD_CLOEXEC)
      _ = consume sockets
      precondition(fcntl(100, F_GETFD) == -1)
    }
  }

  @Test("a path is found under another name of its directory")
  func link() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      try Files.makeDirectory(directory("real"), permissions: 0o700)
      precondition(unsafe symlink(directory("real"), directory("run")) == 0)
      Self.place(try UnixSocket.listen(directory("real/cnid.sock")), at: 100)
      let configuration = Self.configuration(directory)
      let sockets = try Self.take("1", configuration)
      let log = try Log(configuration)
      precondition(!sockets.take(path: configuration.socketPath, log: log).isNone)
    }
  }

  @Test("the health address is found among the sockets")
  func tcp() async {
    await #expect(processExitsWith: .success) {
      for text in ["127.0.0.1", "::1"] {
        guard let address = IPAddress(text) else { preconditionFailure("address") }
        let listener = try TCPSocket.listen(address, port: 0)
        let port = try TCPSocket.port(of: listener)
        Self.place(listener, at: 100)
        var configuration = Configuration()
        let name = address.family == .v4 ? "\(text):\(port)" : "[\(text)]:\(port)"
        precondition(Self.fault("1", configuration).contains("listens at \(name), which is not"))
        guard let health = Configuration.SocketAddress(name) else { preconditionFailure("port") }
        configuration.healthAddress = health
        let sockets = try Self.take("1", configuration)
        precondition(!sockets.take(health).isNone)
        precondition(sockets.take(health).isNone)
      }
    }
  }

  @Test("a socket that the configuration does not know is an error that names both sides")
  func unexpected() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      Self.place(try UnixSocket.listen(directory("other.sock")), at: 100)
      let fault = Self.fault("1", names: "cnid.socket", Self.configuration(directory))
      let expected =
        "handed-over descriptor 100 (cnid.socket) listens at \(directory("other.sock")), which is not "
        + "in the configuration; expected: \(directory("run/cnid.sock")), \(directory("second.sock"))"
        + "; edit ListenStream= in cnid.socket, or socketDir, sockets or healthAddress in cnid.json"
      precondition(fault == expected, fault)
    }
  }

  @Test("what is no listening stream socket is an error that says what to write in the unit")
  func noListener() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      let configuration = Self.configuration(directory)
      let text =
        "handed-over descriptor 100 is no listening stream socket; "
        + "use ListenStream= with Accept=no"
      // A file, a datagram socket, a connected socket, a socket that does not listen,
      // one without a path.
      Self.place(try Files.open("/dev/null", [.read]), at: 100)
      precondition(Self.fault("1", configuration) == text)
      Self.place(
        FileDescriptor(adopting: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)), at: 100)
      precondition(Self.fault("1", configuration) == text)
      let listener = try UnixSocket.listen(directory("x"))
      Self.place(try UnixSocket.connect(directory("x")), at: 100)
      precondition(Self.fault("1", configuration) == text)
      Self.place(
        FileDescriptor(adopting: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)), at: 100)
      precondition(Self.fault("1", configuration) == text)
      let nameless = FileDescriptor(
        adopting: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
      listen(nameless.rawValue, 1)
      Self.place(nameless, at: 100)
      precondition(Self.fault("1", configuration) == text)
      _ = consume listener
      close(100)
      precondition(
        Self.fault("1", configuration).hasPrefix("handed-over descriptor 100: fcntl"))
    }
  }

  @Test("a number that is none is an error", arguments: ["", "x", "-1", "65", "99999999999"])
  func number(count: String) {
    let fault = Self.fault(count, Configuration())
    #expect(fault == "LISTEN_FDS must be a number from 0 to 64")
  }

  @Test("two sockets at one address are an error")
  func twice() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      let listener = try UnixSocket.listen(directory("second.sock"))
      Self.place(listener, at: 100)
      Self.place(listener, at: 101)
      let fault = Self.fault("2", Self.configuration(directory))
      precondition(fault.hasSuffix("second.sock like another one"), fault)
    }
  }

  @Test("a socket whose file has gone is not used, and that is logged")
  func gone() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      var configuration = Self.configuration(directory)
      configuration.logFile = directory("log")
      Self.place(try UnixSocket.listen(directory("second.sock")), at: 100)
      try Files.remove(directory("second.sock"))
      let sockets = try Self.take("1", configuration)
      let log = try Log(configuration)
      precondition(sockets.take(path: directory("second.sock"), log: log).isNone)
      precondition(fcntl(100, F_GETFD) == -1)
      let text = String(decoding: try Files.read(directory("log")), as: UTF8.self)
      precondition(text.contains("the service manager's socket has lost its file"), text)
    }
  }

  @Test("the variables are taken out of the environment, so that no child inherits them")
  func environment() async {
    await #expect(processExitsWith: .success) {
      _ = unsafe setenv("LISTEN_FDS", "0", 1)
      _ = unsafe setenv("LISTEN_PID", "\(getpid())", 1)
      _ = unsafe setenv("LISTEN_FDNAMES", "", 1)
      _ = try ActivatedSockets.ofThisProcess(Configuration())
      let left = Linux.Process.environment().map(\.name)
      precondition(!ActivatedSockets.variables.contains { left.contains($0) })
    }
  }
}

extension Optional where Wrapped: ~Copyable {
  /// Whether there is nothing.
  fileprivate var isNone: Bool {
    switch self {
    case .none: true
    case .some: false
    }
  }
}
