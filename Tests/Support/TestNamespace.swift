import Glibc
public import JSON
import Linux
import Netlink

/// A network namespace of a test's own.
///
/// It is held by a descriptor only: nothing is mounted, so a test process that dies
/// leaves nothing behind.
public final class TestNamespace: Sendable {
  private let held: NetworkNamespace
  private let number: Int32

  /// Creates a new, empty namespace (loopback down).
  public init() async throws {
    let descriptor = try await onThread { () throws -> Int32 in
      try NetworkNamespace.enterNew()
      // High and never used twice in a run: a path of a closed one must not lead to another's.
      let opened = try Files.open("/proc/thread-self/ns/net", [.read])
      return try Numbers.move(opened)
    }
    number = descriptor
    held = try NetworkNamespace(path: "/proc/self/fd/\(descriptor)")
    let open = held.descriptor.rawValue
    Self.open.withLock { _ = $0.insert(open) }
  }

  deinit {
    let open = held.descriptor.rawValue
    Self.open.withLock { _ = $0.remove(open) }
    Numbers.close(number)
  }

  /// Descriptors of all namespaces that tests have open.
  private static let open = Locked<Set<Int32>>([])

  /// The ids by which a socket's namespace knows the namespaces that tests have open.
  static func ids(
    _ socket: inout NetlinkSocket, deadline: Deadline
  ) throws -> Set<Int32> {
    // Nobody closes one meanwhile.
    try open.withLock { numbers throws -> Set<Int32> in
      var ids: Set<Int32> = []
      for number in numbers {
        let namespace = try NetworkNamespace(path: "/proc/self/fd/\(number)")
        if let id = try socket.namespaceID(of: namespace, deadline: deadline) { ids.insert(id) }
      }
      return ids
    }
  }

  /// A path that opens it, for as long as it is open here; what a test gives as `CNI_NETNS`.
  public var path: String { "/proc/\(getpid())/fd/\(number)" }

  /// Makes `path` lead nowhere, as a runtime does before the last DEL; the namespace itself stays.
  public func closePath() { Numbers.close(number) }

  /// Runs a body on a thread of its own inside the namespace.
  public func run<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    try await onThread {
      try self.held.enter()
      return try body()
    }
  }

  /// Runs a program inside the namespace.
  public func run(
    _ command: [String], environment: [String: String] = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
    input: [UInt8] = [], within milliseconds: Int = 30_000
  ) async throws -> ProgramResult {
    try await run {
      try Program.runBlocking(
        command, environment: environment, input: input, within: milliseconds)
    }
  }

  /// Gives commands to `ip` inside the namespace, without the word `ip`: `"link set lo up"`.
  ///
  /// - Throws: what `ip` said if one of them failed.
  public func ip(_ commands: String...) async throws {
    let lines = commands.joined(separator: "\n") + "\n"
    let result = try await run(["ip", "-batch", "-"], input: Array(lines.utf8))
    guard result.succeeded else { throw TestError("ip: \(result)") }
  }

  /// What `ip -j` prints inside the namespace: `"address", "show", "dev", "eth0"`.
  public func show(_ words: String...) async throws -> [JSONValue] {
    let result = try await run(["ip", "-json", "-details"] + words)
    guard result.succeeded else { throw TestError("ip \(words): \(result)") }
    return result.text.isEmpty ? [] : (result.json?.array ?? [])
  }

  /// The names of its links, without loopback, sorted.
  public func links() async throws -> [String] {
    try await show("link").compactMap { $0["ifname"]?.string }.filter { $0 != "lo" }.sorted()
  }

  /// One link as `ip -json -details link` shows it, nil if there is none of that name.
  public func link(_ name: String) async throws -> JSONValue? {
    try await show("link").first { $0["ifname"]?.string == name }
  }

  /// The addresses of a link in CIDR notation, without link-local ones, in the kernel's order.
  public func addresses(_ link: String) async throws -> [String] {
    try await show("address", "show", "dev", link).flatMap { $0["addr_info"]?.array ?? [] }
      .filter { $0["scope"]?.string != "link" }
      .map { "\($0["local"]?.string ?? "?")/\($0["prefixlen"]?.int ?? -1)" }
  }

  /// The routes of the main table as lines of `ip route`, one family.
  public func routes(_ family: String = "-4") async throws -> [String] {
    let result = try await run(["ip", family, "route", "show"])
    return result.text.split(separator: "\n").map { $0.trimming() }
  }

  /// Whether an address answers a ping sent from here.
  public func pings(_ address: String) async throws -> Bool {
    try await run(["ping", "-c", "1", "-W", "10", address]).succeeded
  }
}

extension Substring {
  fileprivate func trimming() -> String {
    split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
  }
}

/// Descriptor numbers that are used once in a run.
private enum Numbers {
  struct State: Sendable {
    var next: Int32 = 400
    var open: Set<Int32> = []
  }

  /// Made once; the process may then have as many descriptors as it is allowed.
  static let state: Locked<State> = {
    var limit = rlimit()
    if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      limit.rlim_cur = limit.rlim_max
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    return Locked(State())
  }()

  /// Moves a descriptor to the next number.
  static func move(_ descriptor: borrowing FileDescriptor) throws -> Int32 {
    let raw = descriptor.rawValue
    return try state.withLock { state throws -> Int32 in
      let number = fcntl(raw, F_DUPFD_CLOEXEC, state.next)
      guard number >= 0 else { throw TestError("no descriptor above \(state.next) left") }
      state.next = number + 1
      state.open.insert(number)
      return number
    }
  }

  /// Closes a number that `move` gave; again does nothing.
  static func close(_ number: Int32) {
    if state.withLock({ $0.open.remove(number) }) != nil { _ = Glibc.close(number) }
  }
}
