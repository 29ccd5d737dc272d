package import CNI
import JSON
import Linux

/// A DEL that no daemon took: the shim writes it to a directory, and the daemon does it
/// when it is back.
///
/// One file for each entry, `<socket directory>/spool/<stamp>-<request id>.json`: a JSON object
/// with the members of ``Request`` and `version`, `requestID` and `stamp`.
package struct SpoolEntry: Sendable, Equatable {
  /// The forms of an entry, the member `version`.
  ///
  /// An entry outlives its shim, and shim and daemon are not replaced at the same moment.
  package static let history = FormatHistory([{ $0.joinStamp() }])
  /// The most bytes that an entry has: as many as the daemon takes of a request.
  package static let sizeLimit = 16 << 20

  package let request: Request
  /// Its id, see ``/CNI/RequestID``.
  package let requestID: String
  /// When it began.
  package let stamp: Stamp

  /// Creates an entry; nil if the id is not valid, because it becomes part of a file's name.
  package init?(_ request: Request, requestID: String, stamp: Stamp) {
    guard RequestID.isValid(requestID) else { return nil }
    self.request = request
    self.requestID = requestID
    self.stamp = stamp
  }

  /// The directory of the entries for the daemon whose socket is in a directory: `spool` in it.
  package static func directory(socketDirectory: String = defaultSocketDirectory) -> String {
    path(of: "spool", in: socketDirectory)
  }

  /// The entry's JSON.
  package func encoded() -> [UInt8] {
    var object = JSONObject()
    object["version"] = .number(JSONNumber(Self.history.current))
    object["requestID"] = .string(requestID)
    object["stamp"] = .string(stamp.description)
    object.members += request.json.members
    return JSONValue.object(object).encoded()
  }

  /// Reads an entry's file.
  ///
  /// - Parameter bytes: the whole file.
  /// - Throws: code 1 if only a newer program understands it; code 6 with the first thing that is
  ///   wrong, never with any of the file's text.
  package init(parsing bytes: [UInt8]) throws(CNIError) {
    let reader = try Self.upgraded(MemberReader(parsing: bytes, CNIMembers()))
    requestID = try reader.required("requestID").string()
    guard RequestID.isValid(requestID) else {
      throw reader.invalid("requestID", "must be a request id")
    }
    guard let stamp = Stamp(try reader.required("stamp").string()) else {
      throw reader.invalid("stamp", "must be a boot id and nanoseconds")
    }
    self.stamp = stamp
    request = try Request(reader.object)
  }

  private static func upgraded(_ reader: MemberReader) throws(CNIError) -> MemberReader {
    switch history.read(reader.object) {
    case .usable(let object, _): return MemberReader(object, reader.dialect)
    case .unversioned: throw reader.invalid("version", "must be a number")
    case .newer(let version):
      throw CNIError(
        .incompatibleVersion,
        "spool entry of version \(version), this program knows \(history.current)")
    }
  }
}

// MARK: - Names

extension SpoolEntry {
  /// The entry's file name, `<nanoseconds, 20 digits>-<request id>.json`; nothing from
  /// outside is in it.
  package var fileName: String { "\(Self.padded(stamp.nanoseconds))-\(requestID).json" }

  /// The name that the file has while it is written,
  /// `<nanoseconds now, 20 digits>-<request id>.tmp`.
  package var temporaryName: String { "\(Self.padded(KernelClock.boot))-\(requestID).tmp" }

  /// When the writing of a temporary file began, CLOCK_BOOTTIME of the boot in which that was; nil
  /// if the name is not one of ``temporaryName``.
  package static func temporaryNanoseconds(_ name: String) -> UInt64? {
    nanoseconds(name, suffix: ".tmp")
  }

  /// Whether a name may be one of ``fileName``.
  package static func isFileName(_ name: String) -> Bool {
    nanoseconds(name, suffix: ".json") != nil
  }

  private static func nanoseconds(_ name: String, suffix: String) -> UInt64? {
    let bytes = Array(name.utf8)
    guard bytes.count > 21 + suffix.utf8.count, bytes[20] == UInt8(ascii: "-"),
      bytes.suffix(suffix.utf8.count).elementsEqual(suffix.utf8),
      bytes[..<20].allSatisfy({ 0x30...0x39 ~= $0 })
    else { return nil }
    let id = bytes[21...].dropLast(suffix.utf8.count)
    guard RequestID.isValid(String(decoding: id, as: UTF8.self)) else { return nil }
    return UInt64(String(decoding: bytes[..<20], as: UTF8.self))
  }

  private static func padded(_ number: UInt64) -> String {
    let digits = Array(String(number).utf8)
    return String(
      decoding: [UInt8](repeating: 0x30, count: max(0, 20 - digits.count)) + digits, as: UTF8.self)
  }
}
