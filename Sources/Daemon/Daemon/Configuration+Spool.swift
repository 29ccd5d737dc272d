import DaemonAPI

extension Configuration {
  /// The directories of the spool: beside each socket that shims use, which look for `cnid.sock`.
  var spoolDirectories: [String] {
    var directories = [SpoolEntry.directory(socketDirectory: socketDirectory)]
    for path in sockets {
      guard let slash = path.utf8.lastIndex(of: 0x2F) else { continue }
      let directory = String(path[..<slash])
      let spool = SpoolEntry.directory(socketDirectory: directory.isEmpty ? "/" : directory)
      if DaemonAPI.socketPath(directory: directory + "/") == path, !directories.contains(spool) {
        directories.append(spool)
      }
    }
    return directories
  }
}
