public import Linux

/// All that a call needs in one namespace: a socket, a listener, and the settings of its links.
///
/// ``open(in:listeningTo:)`` is the only way of this program into another namespace. What it opens
/// stays there, from whichever thread it is used, and keeps the namespace alive; so it lives no
/// longer than its request.
public struct NamespaceSockets: ~Copyable, Sendable {
  /// For questions and changes.
  public var socket: NetlinkSocket
  /// For announcements, if any were asked for.
  public var listener: NotificationSocket?
  /// The settings of the namespace's links for IPv6.
  public let ipv6: LinkSysctls

  /// Opens everything in the calling thread's own namespace.
  ///
  /// - Parameter groups: what to listen to from now on.
  /// - Returns: the sockets.
  /// - Throws: the error of socket(2).
  public static func here(
    listeningTo groups: [NotificationGroup] = []
  ) throws(NetlinkError) -> NamespaceSockets {
    do throws(Errno) {
      return NamespaceSockets(try Descriptors(groups.map(\.number)))
    } catch {
      throw NetlinkError("open netlink socket", "", error)
    }
  }

  /// Opens everything in another namespace, in place: the thread enters, opens and comes back.
  ///
  /// Nothing else runs in there. A thread that cannot come back ends the process, because its stack
  /// still has work to do that is meant for the node: see ``keepHome(onLoss:)``.
  ///
  /// - Parameters:
  ///   - namespace: the other namespace; not needed any more afterwards.
  ///   - groups: what to listen to from now on.
  /// - Returns: the sockets.
  /// - Throws: the error of setns(2) or socket(2).
  public static func open(
    in namespace: borrowing NetworkNamespace, listeningTo groups: [NotificationGroup] = []
  ) throws(NetlinkError) -> NamespaceSockets {
    let (number, groups) = (namespace.descriptor.rawValue, groups.map(\.number))
    let outcome: Result<Descriptors, Errno>
    do throws(SystemError) {
      outcome = try Home.visit(number, groups)
    } catch {
      throw NetlinkError("enter network namespace", "", error)
    }
    switch outcome {
    case .success(let descriptors): return NamespaceSockets(descriptors)
    case .failure(let errno): throw NetlinkError("open netlink socket", "", errno)
    }
  }

  /// Keeps the namespace in which the program is, for a program whose threads all live in it.
  ///
  /// Without it a thread opens its own namespace each time before it enters another one.
  ///
  /// - Parameter onLoss: hears, in one line, why a thread could not come back; then the process is
  ///   killed. Recovery undoes what was begun, and callers try again.
  /// - Throws: the error of open(2).
  public static func keepHome(
    onLoss: @escaping @Sendable (String) -> Void
  ) throws(SystemError) {
    try Home.keep(onLoss)
  }

  private init(_ opened: Descriptors) {
    socket = NetlinkSocket(adopting: FileDescriptor(adopting: opened.socket))
    listener = nil
    if opened.listener >= 0 {
      listener = NotificationSocket(adopting: FileDescriptor(adopting: opened.listener))
    }
    ipv6 = LinkSysctls(directory: opened.settings)
  }
}

/// Numbers of open descriptors on their way out of a namespace.
private struct Descriptors {
  var socket: Int32
  /// -1 without groups.
  var listener: Int32 = -1
  /// -1 in a kernel without IPv6.
  var settings: Int32 = -1

  init(_ groups: [UInt32]) throws(Errno) {
    let question = try Kernel.open(groups: [])
    if !groups.isEmpty { listener = try Kernel.open(groups: groups).release() }
    socket = question.release()
    if let opened = try? Files.open("/proc/sys/net/ipv6/conf", [.read, .directory]) {
      settings = opened.release()
    }
  }
}

/// The namespace to which threads come back.
private enum Home {
  private struct Kept: ~Copyable {
    let namespace: NetworkNamespace
    let onLoss: @Sendable (String) -> Void
  }

  private static let kept = Mutex<Kept?>(nil)
  /// How often the way back is tried.
  private static let attempts = 3

  static func keep(_ onLoss: @escaping @Sendable (String) -> Void) throws(SystemError) {
    let namespace = try NetworkNamespace.current()
    var new = Optional(Kept(namespace: namespace, onLoss: onLoss))
    kept.withLock { $0 = new.take() }
  }

  /// The kept namespace's number, which stays open for good; nil if none is kept.
  private static var number: Int32? {
    kept.withLock { $0?.namespace.descriptor.rawValue }
  }

  /// Enters a namespace, opens what is needed there and comes back.
  static func visit(
    _ namespace: Int32, _ groups: [UInt32]
  ) throws(SystemError) -> Result<Descriptors, Errno> {
    if let number { return try visit(namespace, groups, from: number) }
    let own = try NetworkNamespace.current()
    return try visit(namespace, groups, from: own.descriptor.rawValue)
  }

  private static func visit(
    _ namespace: Int32, _ groups: [UInt32], from home: Int32
  ) throws(SystemError) -> Result<Descriptors, Errno> {
    try NetworkNamespace.enter(namespace)
    let outcome: Result<Descriptors, Errno>
    do throws(Errno) {
      outcome = .success(try Descriptors(groups))
    } catch {
      outcome = .failure(error)
    }
    for attempt in 1...attempts {
      do throws(SystemError) {
        try NetworkNamespace.enter(home)
        break
      } catch {
        if attempt == attempts { end(error) }
      }
    }
    return outcome
  }

  /// Ends the process: what this thread still has to do would be done in a foreign namespace.
  private static func end(_ error: SystemError) -> Never {
    let text = "a thread cannot leave a pod's network namespace, so the process ends: \(error)"
    let onLoss = kept.withLock { $0?.onLoss }
    if let onLoss { onLoss(text) } else { _ = try? Descriptor.write(2, Array("\(text)\n".utf8)) }
    try? Signal.kill.send(to: Process.pid)
    // The first process of a pid namespace cannot kill itself.
    Process.exit(1)
  }
}

extension NetworkNamespace {
  /// The kernel's number of this namespace, SO_NETNS_COOKIE, by way of a socket that
  /// is opened in it.
  public func cookie() throws(NetlinkError) -> UInt64 {
    try NamespaceSockets.open(in: self).socket.namespaceCookie()
  }
}

/// The settings of links in `/proc/sys/net/ipv6/conf` of one namespace.
///
/// The directory's descriptor leads to its own namespace from every thread, as a path does not.
public struct LinkSysctls: ~Copyable, Sendable {
  private let directory: FileDescriptor?

  init(directory number: Int32) {
    directory = number >= 0 ? FileDescriptor(adopting: number) : nil
  }

  /// Reads a setting.
  ///
  /// - Parameters:
  ///   - name: the setting, such as `disable_ipv6`.
  ///   - link: the link's name, or `all`, or `default`.
  /// - Returns: its text without the newline.
  /// - Throws: `Errno.noEntry` if there is no such link or setting.
  public func value(_ name: String, of link: String) throws(SystemError) -> String {
    let file = try open(name, link, .read)
    var bytes: [UInt8] = []
    while try Descriptor.read(file.rawValue, into: &bytes, limit: 128) > 0 {}
    return String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
  }

  /// Changes a setting.
  ///
  /// - Parameters:
  ///   - name: the setting.
  ///   - link: the link's name, or `all`, or `default`.
  ///   - value: what is written.
  ///   - permit: the proof that the undo was recorded.
  /// - Throws: `Errno.noEntry` if there is no such link or setting.
  public func set(
    _ name: String, of link: String, to value: String, _ permit: borrowing Permit
  ) throws(SystemError) {
    let file = try open(name, link, .write)
    _ = try Descriptor.write(file.rawValue, Array(value.utf8))
  }

  private func open(
    _ name: String, _ link: String, _ mode: OpenMode
  ) throws(SystemError) -> FileDescriptor {
    let path = "\(link)/\(name)"
    switch directory {
    case .some(let directory): return try Files.open(path, in: directory, mode)
    case nil: throw SystemError("open", "/proc/sys/net/ipv6/conf/\(path)", .noEntry)
    }
  }
}
