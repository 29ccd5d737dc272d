import CNI
import Linux

/// Reads a resolv.conf for `host-local`'s key `resolvConf`.
enum ResolverConfiguration {
  /// A larger file is no resolv.conf.
  private static let limit = 1 << 20

  /// The `nameserver`, `domain`, `search` and `options` lines of a file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - root: what its path begins at; nil for this process' own root.
  /// - Returns: what the lines say.
  /// - Throws: code 5 if it cannot be read.
  static func read(_ path: String, below root: RootDirectory?) throws(CNIError) -> CNIResult.DNS {
    do throws(SystemError) {
      if let root { return parse(try root.read(path, limit: limit)) }
      return parse(try Files.read(path, limit: limit))
    } catch {
      throw CNIError(error)
    }
  }

  /// Reads the lines: comments (`#`, `;`) and lines without a value are passed over, the last
  /// `domain` wins.
  static func parse(_ bytes: [UInt8]) -> CNIResult.DNS {
    var dns = CNIResult.DNS()
    for line in bytes.split(separator: 0x0A) {
      let words = line.split { $0 == 0x20 || (0x09...0x0D).contains($0) }
        .map { String(decoding: $0, as: UTF8.self) }
      guard let key = words.first, words.count > 1 else { continue }
      switch key {
      case "nameserver": dns.nameservers.append(words[1])
      case "domain": dns.domain = words[1]
      case "search": dns.search += words[1...]
      case "options": dns.options += words[1...]
      default: continue
      }
    }
    return dns
  }
}
