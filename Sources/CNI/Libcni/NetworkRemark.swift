/// Something that is new about networks in directories, each told once.
package enum NetworkRemark: Equatable, Sendable {
  /// A network is there that was not.
  case appeared(network: String, file: String)
  /// A network is another one than it was, or comes from another file.
  case changed(network: String, file: String)
  /// A network is not there any more.
  case removed(network: String, file: String)
  /// A file is not good; the network that it was last good for stays, if there is one.
  case damaged(file: String, fault: String, kept: String?)
  /// A file is good again.
  case mended(file: String)
  /// A file has the name of a network whose file comes first, so it counts for nothing.
  case hidden(network: String, file: String, by: String)
  /// A directory is not there; it may appear.
  case missing(directory: String)
  /// A directory or a file cannot be read now, and what was known of it stays.
  case unreadable(path: String, fault: String)
  /// The kernel does not tell of changes, so they are looked for about every second.
  case unwatched(fault: String)
  /// The kernel tells of changes again.
  case watched
}
