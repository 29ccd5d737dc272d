package import CNI
package import JSON
import Linux

/// What libcni keeps of an attachment between its ADD and its DEL.
package struct CachedAttachment: Sendable, Equatable {
  package var network: String
  package var containerID: String
  package var ifName: String
  /// CNI_NETNS of the ADD; empty if it had none.
  package var netns: String
  /// CNI_ARGS of the ADD, in their order.
  package var arguments: [CNIArgument]
  /// The runtime's arguments by capability.
  package var offered: JSONObject
  /// The list, byte for byte.
  package var list: [UInt8]
  /// The ADD's result, in the list's version; nil if it cannot be read.
  package var result: JSONObject?

  package init(
    network: String, containerID: String, ifName: String, netns: String = "",
    arguments: [CNIArgument] = [], offered: JSONObject = JSONObject(), list: [UInt8] = [],
    result: JSONObject? = nil
  ) {
    (self.network, self.containerID, self.ifName) = (network, containerID, ifName)
    (self.netns, self.arguments, self.offered) = (netns, arguments, offered)
    (self.list, self.result) = (list, result)
  }
}

/// A key of CNI_ARGS and its value.
package struct CNIArgument: Sendable, Equatable {
  package let key: String
  package let value: String

  package init(_ key: String, _ value: String) { (self.key, self.value) = (key, value) }
}

/// The results of runtimes that use libcni, `/var/lib/cni/results`, in its format `cniCacheV1`.
///
/// So an attachment that one of them made can be deleted by the other. A file is
/// `<network>-<container>-<ifname>`, as in `libcni/api.go`. Files that a runtime from before this
/// format wrote hold the bare result.
package struct ResultCache: Sendable {
  private static let kind = "cniCacheV1"
  /// What a file may have; pods' annotations stand in it.
  private static let limit = 16 << 20

  private let directory: String

  /// - Parameter directory: the runtime's, in which `results` is.
  package init(directory: String = "/var/lib/cni") { self.directory = directory + "/results" }

  /// Where an attachment's file is.
  package func path(network: String, containerID: String, ifName: String) -> String {
    "\(directory)/\(network)-\(containerID)-\(ifName)"
  }

  private func path(_ attachment: CachedAttachment) -> String {
    path(
      network: attachment.network, containerID: attachment.containerID, ifName: attachment.ifName)
  }

  /// Keeps an attachment, in place of what was kept of it before.
  ///
  /// The directory is made if it is missing, for root alone as libcni makes it.
  ///
  /// - Throws: code 5.
  package func write(_ attachment: CachedAttachment) throws(CNIError) {
    do throws(SystemError) {
      try Files.makeDirectories(directory, permissions: 0o700)
      try Files.replace(path(attachment), attachment.json.encoded())
    } catch {
      throw CNIError(
        .ioFailure, "failed to set network \(goQuoted(attachment.network)) cached result: \(error)")
    }
  }

  /// Forgets an attachment; one that is not kept is no error.
  ///
  /// - Throws: code 5.
  package func remove(network: String, containerID: String, ifName: String) throws(CNIError) {
    do throws(SystemError) {
      _ = try Files.removeIfPresent(
        path(network: network, containerID: containerID, ifName: ifName))
    } catch {
      throw CNIError(
        .ioFailure, "failed to remove network \(goQuoted(network)) cached result: \(error)")
    }
  }

  /// What is kept of an attachment; nil if nothing is, or if it cannot be read.
  ///
  /// As with libcni, a file that holds nothing readable means to go on without.
  package func attachment(
    network: String, containerID: String, ifName: String
  ) -> CachedAttachment? {
    let path = path(network: network, containerID: containerID, ifName: ifName)
    guard let object = Self.object(path) else { return nil }
    if let cached = CachedAttachment(object) { return cached }
    // The bare result of old runtimes.
    if object["kind"] != nil { return nil }
    return CachedAttachment(
      network: network, containerID: containerID, ifName: ifName, result: object)
  }

  /// All that is kept, of one container or of all, by the order of the files' names.
  ///
  /// Files that cannot be read are passed over.
  ///
  /// - Throws: the error of reading the directory: then nothing is known, which is not the same as
  ///   nothing being kept. A directory that is not there keeps nothing.
  package func attachments(of containerID: String? = nil) throws(CNIError) -> [CachedAttachment] {
    let names: [String]
    do throws(SystemError) {
      names = try Files.list(directory).sorted()
    } catch {
      if error.errno == .noEntry { return [] }
      throw CNIError(.ioFailure, "cannot read the result cache: \(error)")
    }
    return names.compactMap { name in
      let file = "\(directory)/\(name)"
      // Another name is that of a write that was cut.
      guard let cached = Self.object(file).flatMap(CachedAttachment.init), path(cached) == file
      else { return nil }
      return containerID.map { $0 == cached.containerID } ?? true ? cached : nil
    }
  }

  private static func object(_ path: String) -> JSONObject? {
    guard let bytes = try? Files.read(path, limit: limit) else { return nil }
    return (try? JSONValue.parse(bytes))?.object
  }

  /// The members in the order in which libcni writes them.
  fileprivate static func encode(_ attachment: CachedAttachment) -> JSONValue {
    var object = JSONObject([
      ("kind", .string(kind)), ("containerId", .string(attachment.containerID)),
      ("config", .string(Base64.encode(attachment.list))), ("ifName", .string(attachment.ifName)),
      ("networkName", .string(attachment.network)),
    ])
    if !attachment.netns.isEmpty { object["netns"] = .string(attachment.netns) }
    if !attachment.arguments.isEmpty {
      object["cniArgs"] = .array(
        attachment.arguments.map { .array([.string($0.key), .string($0.value)]) })
    }
    if !attachment.offered.isEmpty { object["capabilityArgs"] = .object(attachment.offered) }
    if let result = attachment.result { object["result"] = .object(result) }
    return .object(object)
  }

  /// Nil for what is of another kind, or lacks a name.
  fileprivate static func decode(_ object: JSONObject) -> CachedAttachment? {
    guard object["kind"]?.string == kind, let network = object["networkName"]?.string,
      let containerID = object["containerId"]?.string, let ifName = object["ifName"]?.string,
      !network.isEmpty, !ifName.isEmpty
    else { return nil }
    var attachment = CachedAttachment(network: network, containerID: containerID, ifName: ifName)
    attachment.netns = object["netns"]?.string ?? ""
    for pair in object["cniArgs"]?.array ?? [] {
      guard let pair = pair.array, pair.count == 2, let key = pair[0].string,
        let value = pair[1].string
      else { continue }
      attachment.arguments.append(CNIArgument(key, value))
    }
    attachment.offered = object["capabilityArgs"]?.object ?? JSONObject()
    attachment.list = object["config"]?.string.flatMap { try? Base64.decode($0) } ?? []
    attachment.result = object["result"]?.object
    return attachment
  }
}

extension CachedAttachment {
  fileprivate var json: JSONValue { ResultCache.encode(self) }

  fileprivate init?(_ object: JSONObject) {
    guard let read = ResultCache.decode(object) else { return nil }
    self = read
  }

  /// The result in the version of a list of today, for a DEL or a CHECK.
  ///
  /// - Throws: code 1, 6 or 999 if it cannot be read or said in that version.
  package func result(in list: NetworkList) throws(CNIError) -> CNIResult? {
    guard let result else { return nil }
    let version = try CNIVersion.check(list.version, for: .add)
    return try CNIResult(.object(result), defaultVersion: version)
  }
}
