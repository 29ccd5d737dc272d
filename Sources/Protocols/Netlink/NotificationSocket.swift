import CLinux
public import Linux

/// What a namespace's kernel tells of itself.
public enum NetlinkNotification: Sendable, Equatable {
  /// A link was created or changed. Other families than `AF_UNSPEC` (0) speak of a link's role,
  /// such as a bridge's port.
  case link(Link, family: UInt8)
  /// A link has gone, or with another family than 0: a role of it.
  case linkRemoved(Link, family: UInt8)
  /// An address was added or its state changed.
  case address(InterfaceAddress)
  /// An address has gone.
  case addressRemoved(InterfaceAddress)
  /// A route was added.
  case route(Route)
  /// A route has gone.
  case routeRemoved(Route)
  /// A namespace that was known by this id has ended.
  case namespaceIDRemoved(Int32)
  /// Something of another type.
  case other(type: Int)

  /// Reads a message that the kernel sent unasked.
  ///
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init(_ message: NetlinkMessage) throws(WireError) {
    let other = NetlinkNotification.other(type: message.type)
    switch message.type {
    case Int(RTM_NEWLINK):
      self = .link(try Link(message), family: message.payload.first ?? 0)
    case Int(RTM_DELLINK):
      self = .linkRemoved(try Link(message), family: message.payload.first ?? 0)
    case Int(RTM_NEWADDR):
      self = try InterfaceAddress(message).map { .address($0) } ?? other
    case Int(RTM_DELADDR):
      self = try InterfaceAddress(message).map { .addressRemoved($0) } ?? other
    case Int(RTM_NEWROUTE): self = try Route(message).map { .route($0) } ?? other
    case Int(RTM_DELROUTE): self = try Route(message).map { .routeRemoved($0) } ?? other
    case Int(RTM_DELNSID):
      self = try NamespaceID.id(message).map { .namespaceIDRemoved($0) } ?? other
    default: self = other
    }
  }
}

/// What a notification socket can listen to (`RTNLGRP_…`).
public enum NotificationGroup: Sendable, CaseIterable {
  /// Links.
  case links
  /// IPv4 addresses.
  case ipv4Addresses
  /// IPv6 addresses.
  case ipv6Addresses
  /// IPv4 routes.
  case ipv4Routes
  /// IPv6 routes.
  case ipv6Routes
  /// Ids of other namespaces.
  case namespaceIDs

  var number: UInt32 {
    switch self {
    case .links: RTNLGRP_LINK.rawValue
    case .ipv4Addresses: RTNLGRP_IPV4_IFADDR.rawValue
    case .ipv6Addresses: RTNLGRP_IPV6_IFADDR.rawValue
    case .ipv4Routes: RTNLGRP_IPV4_ROUTE.rawValue
    case .ipv6Routes: RTNLGRP_IPV6_ROUTE.rawValue
    case .namespaceIDs: RTNLGRP_NSID.rawValue
    }
  }
}

/// A rtnetlink(7) socket that receives what the kernel announces in the namespace in
/// which it was opened.
///
/// Open it before the change whose effect is awaited. Like every socket it keeps its
/// namespace alive.
public struct NotificationSocket: ~Copyable, Sendable {
  /// Readable when something was announced.
  public let descriptor: FileDescriptor
  private var waiting: [NetlinkNotification] = []
  private static let room = 64 << 10
  /// So many datagrams of others are passed over at once.
  private static let mostForeign = 256

  /// Opens a socket in the calling thread's namespace.
  public init(_ groups: NotificationGroup...) throws(NetlinkError) {
    do throws(Errno) {
      descriptor = try Kernel.open(groups: groups.map(\.number))
    } catch {
      throw NetlinkError("open netlink socket", "", error)
    }
  }

  /// Takes over an open socket, whatever it is; tests put one end of a socket pair here.
  init(adopting descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// The next notification.
  ///
  /// - Parameter deadline: when to give up waiting.
  /// - Returns: the notification.
  /// - Throws: `Errno.noBuffers` if the kernel had to drop some: what they said must be read anew,
  ///   and the socket can be used further.
  public mutating func next(deadline: Deadline) throws(NetlinkError) -> NetlinkNotification {
    while true {
      if let first = try nextIfAny() { return first }
      do throws(SystemError) {
        // What others send wakes it as well.
        try deadline.check("wait for notification")
        try deadline.wait(descriptor.rawValue, for: .read, "wait for notification")
      } catch {
        throw NetlinkError("wait for notification", "", error)
      }
    }
  }

  /// The next notification if one is there already; nil otherwise.
  ///
  /// - Throws: as `next`.
  public mutating func nextIfAny() throws(NetlinkError) -> NetlinkNotification? {
    while waiting.isEmpty {
      guard let datagram = try receive() else { return nil }
      do throws(WireError) {
        var reader = MessageReader(datagram[...])
        while let message = try reader.next() {
          waiting.append(try NetlinkNotification(message))
        }
      } catch {
        throw NetlinkError("read notification", "", error)
      }
    }
    return waiting.removeFirst()
  }

  private func receive() throws(NetlinkError) -> [UInt8]? {
    do throws(Errno) {
      // Bounded: others may send more than anybody can pass over.
      for _ in 0..<NotificationSocket.mostForeign {
        switch try Kernel.receive(descriptor.rawValue, room: NotificationSocket.room) {
        case .nothing: return nil
        case .foreign: continue
        case .datagram(let bytes): return bytes
        case .cut: throw Errno.noBuffers
        }
      }
      return nil
    } catch {
      throw NetlinkError("read notification", "", error)
    }
  }
}
