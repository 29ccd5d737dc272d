import CNI
import DaemonAPI
import Linux
import PluginKit

// What is read of a directory, and what it does with what does not belong there.
extension SpoolDirectory {
  /// Creates the directory if it is missing and checks that it is root's alone; a symbolic link
  /// is not followed.
  static func prepare(_ directory: String) throws(StartError) -> Identity {
    let status = try starting("spool directory") { () throws(SystemError) in
      do throws(SystemError) {
        return try Files.linkStatus(directory)
      } catch {
        guard error.errno == .noEntry else { throw error }
        try Files.makeDirectories(directory)
        return try Files.linkStatus(directory)
      }
    }
    guard status.kind == .directory else {
      throw StartError("spool directory \(directory): it is not a directory; remove it")
    }
    if let fault = PrivateDirectory.fault(of: directory, "spool directory", status) { throw fault }
    return Identity(device: status.device, inode: status.inode)
  }

  /// Brings what is known in line with the directory.
  func refresh(_ state: inout State) {
    do throws(StartError) {
      let identity = try Self.prepare(directory)
      if identity != state.watched { renew(&state, identity) }
    } catch {
      complain("\(error)", &state)
      for name in Array(state.items.keys) { forget(name, &state) }
      return
    }
    let names: [String]
    do throws(SystemError) {
      names = try Files.list(directory)
    } catch {
      // What was known stays: it is only not seen now.
      return complain("\(StartError("spool", error))", &state)
    }
    let present = Set(names)
    for name in Array(state.items.keys) where !present.contains(name) { forget(name, &state) }
    state.stuck.formIntersection(present)
    var complaint: String?
    for name in names where state.items[name] == nil && !state.stuck.contains(name) {
      if let text = look(at: name, &state) { complaint = text }
    }
    complain(complaint ?? "", &state)
  }

  /// Watches the directory that is there now.
  private func renew(_ state: inout State, _ identity: Identity) {
    state.watched = nil
    guard state.watch != nil else { return }
    do throws(SystemError) {
      try state.watch?.renew()
      state.watched = identity
    } catch {
      log.write(.warning, "the spool cannot be watched", [("error", "\(error)")])
    }
  }

  /// Says what is wrong, once until it is another thing or nothing.
  private func complain(_ text: String, _ state: inout State) {
    if text != state.complaint, !text.isEmpty {
      log.write(.warning, "the spool cannot be read", [("error", text)])
    }
    state.complaint = text
  }

  /// Reads a file that is not known yet.
  ///
  /// - Returns: why it could not be read now, for another try later; nil if it was dealt with.
  private func look(at name: String, _ state: inout State) -> String? {
    if name.hasSuffix(".damaged") || name.hasSuffix(".refused") { return nil }
    if let begun = SpoolEntry.temporaryNanoseconds(name) {
      sweep(name, begun)
      return nil
    }
    switch read(name) {
    case .success(let item): remember(item, &state)
    case .failure(.gone): break
    case .failure(.later(let text)): return text
    case .failure(.damaged(let fault)): setAside(damaged: name, fault, &state)
    case .failure(.newer(let text)): leave(name, text, &state)
    }
    return nil
  }

  /// Leaves an entry to a newer cnid, and says so once.
  private func leave(_ name: String, _ text: String, _ state: inout State) {
    let help =
      "\(path(name)): \(text); install a newer cnid, or move the file away "
      + "(what its DEL was to remove stays until another DEL or a GC)"
    state.stuck.insert(name)
    state.newer = help
    log.write(
      .warning, "a spool entry waits for a newer cnid", [("file", path(name)), ("error", help)])
  }

  /// Removes a temporary file whose shim must be dead: it is too old, or from another boot.
  private func sweep(_ name: String, _ begun: UInt64) {
    let now = KernelClock.boot
    // A time that is still to come is another boot's, or another time namespace's.
    let isDead =
      begun <= now && now - begun > Self.temporaryNanoseconds
      || (try? Files.isOfAnotherBoot(path(name))) == true
    guard isDead else { return }
    try? Files.remove(path(name))
    log.write(.info, "a dead shim's file was removed from the spool", [("file", path(name))])
  }

  private func setAside(damaged name: String, _ fault: String, _ state: inout State) {
    if (try? Files.rename(path(name), path(name + ".damaged"))) == nil { state.stuck.insert(name) }
    damaged.add(1, ordering: .relaxed)
    log.write(
      .warning, "a file in the spool is no entry and was set aside",
      [("file", path(name)), ("fault", fault)])
  }

  private enum ReadFailure: Error {
    case gone
    case later(String)
    case damaged(String)
    case newer(String)
  }

  private func read(_ name: String) -> Result<Item, ReadFailure> {
    guard SpoolEntry.isFileName(name) else { return .failure(.damaged("its name is no entry's")) }
    let bytes: [UInt8]
    do throws(SystemError) {
      let path = path(name)
      // Looked at before it is opened: opening some files does something.
      if let fault = Self.fault(try Files.linkStatus(path)) { return .failure(.damaged(fault)) }
      let file = try Files.open(path, [.read, .noFollow, .nonBlocking])
      if let fault = Self.fault(try Files.status(file)) { return .failure(.damaged(fault)) }
      bytes = try Descriptor.readAll(
        file.rawValue, limit: SpoolEntry.sizeLimit, deadline: .after(seconds: 5))
    } catch {
      if error.errno == .noEntry { return .failure(.gone) }
      return .failure(error.isAboutTheFile ? .damaged("\(error)") : .later("\(error)"))
    }
    do throws(CNIError) {
      return .success(try item(name, try SpoolEntry(parsing: bytes)))
    } catch {
      if error.code == .incompatibleVersion { return .failure(.newer(error.message)) }
      return .failure(.damaged(error.message))
    }
  }

  /// What keeps a file from being an entry, whatever is in it.
  private static func fault(_ status: FileStatus) -> String? {
    guard status.kind == .regular else { return "it is not a regular file" }
    guard status.owner == 0 else { return "its owner is uid \(status.owner), not root" }
    guard status.permissions & 0o022 == 0 else {
      return "others may write it: mode 0\(String(status.permissions, radix: 8))"
    }
    guard status.size <= SpoolEntry.sizeLimit else { return "it has \(status.size) bytes" }
    return nil
  }

  private func item(_ name: String, _ entry: SpoolEntry) throws(CNIError) -> Item {
    guard name == entry.fileName else {
      throw CNIError(.decodingFailure, "its name does not fit its content")
    }
    let variables = entry.request.env
    guard variables["CNI_COMMAND"] == "DEL" else {
      throw CNIError(.decodingFailure, "CNI_COMMAND: must be DEL")
    }
    let (containerID, ifName) = (variables["CNI_CONTAINERID"] ?? "", variables["CNI_IFNAME"] ?? "")
    try CNIValidation.containerID(containerID)
    try CNIValidation.interfaceName(ifName, for: .delete)
    return Item(
      directory: directory, name: name, entry: settled(entry) ?? entry, containerID: containerID,
      ifName: ifName)
  }

  /// The entry with a stamp of this boot that is not later than now.
  private func settled(_ entry: SpoolEntry) -> SpoolEntry? {
    guard entry.stamp.bootID == bootID else { return nil }
    return SpoolEntry(
      entry.request, requestID: entry.requestID, stamp: entry.stamp.notInFuture)
  }
}
