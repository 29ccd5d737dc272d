package import Linux

/// A directory that root alone may use: of a socket, or of the spool.
package enum PrivateDirectory {
  /// Why nobody but root would be safe to use a directory; nil if it is root's alone.
  package static func fault(of directory: String, _ what: String, _ status: FileStatus)
    -> StartError?
  {
    guard status.owner == 0 else {
      return StartError(
        "insecure owner of \(what) \(directory): uid \(status.owner), it must be 0; chown it to root"
      )
    }
    let mode = status.permissions & 0o777
    guard mode == 0o700 else {
      return StartError(
        "insecure permissions on \(what) \(directory): 0\(String(mode, radix: 8)), it must be 0700; chmod it"
      )
    }
    return nil
  }
}
