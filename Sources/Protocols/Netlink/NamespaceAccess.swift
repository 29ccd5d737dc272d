public import Linux

/// All that a plugin needs in another namespace, opened by one thread that ends at once; about 0.1 ms.
///
/// What is opened stays in the namespace and keeps it alive, so it lives no longer than its request.
public struct NamespaceAccess: ~Copyable, Sendable {
  /// For questions and changes.
  public var socket: NetlinkSocket
  /// For announcements, if any were asked for.
  public var listener: NotificationSocket?
  /// The settings of the namespace's links for IPv6.
  public let ipv6: LinkSysctls

  /// Opens everything.
  ///
  /// - Parameters:
  ///   - namespace: the other namespace; not needed any more afterwards.
  ///   - groups: what to listen to from now on.
  /// - Throws: the error of setns(2), socket(2) or pthread_create(3).
  public init(
    _ namespace: borrowing NetworkNamespace, listeningTo groups: NotificationGroup...
  ) throws(NetlinkError) {
    let numbers = groups.map(\.number)
    let outcome: Result<Opened, Errno>
    do throws(SystemError) {
      outcome = try namespace.run {
        do throws(Errno) {
          return .success(try Opened(groups: numbers))
        } catch {
          return .failure(error)
        }
      }
    } catch {
      throw NetlinkError("enter network namespace", "", error)
    }
    switch outcome {
    case .failure(let errno): throw NetlinkError("open netlink socket", "", errno)
    case .success(let opened):
      socket = NetlinkSocket(adopting: FileDescriptor(adopting: opened.socket))
      listener = nil
      if let number = opened.listener {
        listener = NotificationSocket(adopting: FileDescriptor(adopting: number))
      }
      ipv6 = LinkSysctls(directory: opened.settings)
    }
  }

  /// Numbers of open descriptors on their way from the thread.
  private struct Opened {
    let socket: Int32
    var listener: Int32?
    var settings: Int32?

    init(groups: [UInt32]) throws(Errno) {
      let question = try Kernel.open(groups: [])
      if !groups.isEmpty { listener = try Kernel.open(groups: groups).release() }
      socket = question.release()
      // Absent in a kernel without IPv6.
      settings = try? Files.open("/proc/sys/net/ipv6/conf", [.read, .directory]).release()
    }
  }
}

/// The settings of links in `/proc/sys/net/ipv6/conf` of one namespace.
///
/// The directory's descriptor leads to its own namespace from every thread, as a path does not.
public struct LinkSysctls: ~Copyable, Sendable {
  private let directory: FileDescriptor?

  init(directory number: Int32?) {
    directory = number.map { FileDescriptor(adopting: $0) }
  }

  /// Whether the kernel has IPv6 at all.
  public var isAvailable: Bool { directory != nil }

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
