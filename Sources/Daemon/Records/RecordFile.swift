import Linux
import PluginKit

/// Reading one record's file.
enum RecordFile {
  /// Nothing else has this suffix.
  static let suffix = ".json"
  /// The suffix of a record whose DEL has begun, whatever phase its content says: a rename is whole
  /// after a crash and a power cut, and writes nothing.
  static let deletingSuffix = ".deleting"

  enum Failure: Error {
    /// There is no such file.
    case gone
    /// It could not be read now. That says nothing about its content.
    case unreadable(SystemError)
    /// Its content is no record's.
    case damaged(String)
    /// It is empty since a power cut before this boot.
    case lost
    /// Only a newer program understands it.
    case newer(Int, String)
  }

  static func read(_ path: String) -> Result<AttachmentRecord, Failure> {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.read(path)
    } catch {
      if error.errno == .noEntry { return .failure(.gone) }
      return .failure(error.isAboutTheFile ? .damaged("\(error)") : .unreadable(error))
    }
    if bytes.isEmpty, (try? Files.isOfAnotherBoot(path)) == true { return .failure(.lost) }
    do throws(RecordError) {
      var record = try AttachmentRecord(parsing: bytes)
      if path.hasSuffix(deletingSuffix) { record.phase = .deleting }
      return .success(record)
    } catch {
      if case .newer(let version) = error.reason { return .failure(.newer(version, "\(error)")) }
      return .failure(.damaged("\(error)"))
    }
  }

  /// Reads it at the start, where errors that may pass are waited out for about a second.
  static func readPatiently(_ path: String) -> Result<AttachmentRecord, Failure> {
    for pause in [10, 40, 150, 800] {
      let result = read(path)
      guard case .failure(.unreadable) = result else { return result }
      Clock.pause(milliseconds: pause)
    }
    return read(path)
  }
}

extension SystemError {
  /// Whether the file itself is at fault, and not the moment at which it was opened or read.
  var isAboutTheFile: Bool {
    switch errno {
    case .isDirectory, .notDirectory, .loop, .tooBig, .noDeviceOrAddress, .noDevice: true
    default: false
    }
  }
}
