package import Addresses
package import JSON
import Linux
package import PluginKit

/// The daemon's configuration, `cnid.json`.
///
/// Every key is optional; an unknown key, a wrong type or a bad value is one error
/// that names the key.
package struct Configuration: Equatable, Sendable {
  /// How log lines are written.
  package enum LogFormat: String, Sendable, CaseIterable {
    /// For people.
    case text
    /// One JSON object a line.
    case json
  }

  /// `socketDir`: where `cnid.sock` is made.
  package var socketDirectory = "/run/cnid"
  /// `sockets`: further paths that are served alike.
  package var sockets: [String] = []
  /// `stateDir`: where records are kept.
  package var stateDirectory = "/var/lib/cnid"
  /// `defaultPlugin`: serves configurations whose `type` no plugin has.
  package var defaultPlugin: String?
  /// `binDirs`: where programs of plugins are looked for before the request's CNI_PATH.
  package var binDirectories = ["/opt/cni/bin", "/usr/lib/cni"]
  /// `hostRoot`: where the host's file system is mounted, for a daemon in a container.
  package var hostRoot: String?
  /// `dataDir`: where host-local keeps its leases.
  package var dataDirectory = "/var/lib/cni/networks"
  /// `allowedPaths`: directories that networks may name beside those that a key is made for.
  package var allowedPaths: [String] = []
  /// `networkDirs`: where networks are read from that a request only names.
  package var networkDirectories: [String] = []
  /// `maxConcurrent`: how many calls run at once.
  package var maximumConcurrent = 16
  /// `maxQueued`: how many calls may wait.
  package var maximumQueued = 512
  /// `requestTimeout`: seconds that a call may take.
  package var requestTimeout = 90
  /// `orphanGrace`: seconds after which the attachment of a dead namespace is removed.
  package var orphanGrace = 600
  /// `healthAddress`: IP literal and port that also serve the probes.
  package var healthAddress: SocketAddress?
  /// `podCIDR`: the node's pod network, for leases of `pod-cidr`, and told to the plugins as
  /// kubelet's event.
  package var podCIDR: IPNetwork?
  /// `logLevel`.
  package var logLevel = LogLevel.info
  /// `logFormat`.
  package var logFormat = LogFormat.text
  /// `logFile`: appended to instead of standard error.
  package var logFile: String?
  /// `overrides`: merged over each request's configuration, key by key; null takes a key away.
  package var overrides = JSONObject()
  /// `plugins`: for each plugin's name the keys that a request's configuration may leave out.
  package var plugins: [String: JSONObject] = [:]

  /// An IP literal and a port.
  package struct SocketAddress: Equatable, Sendable {
    package let address: IPAddress
    package let port: UInt16

    /// Reads `127.0.0.1:9090` or `[::1]:9090`.
    package init?(_ text: String) {
      guard let colon = text.utf8.lastIndex(of: 0x3A) else { return nil }
      var host = text[..<colon]
      if host.hasPrefix("["), host.hasSuffix("]") {
        host = host.dropFirst().dropLast()
      } else if host.utf8.contains(0x3A) {
        return nil
      }
      let digits = text[text.utf8.index(after: colon)...]
      guard let address = IPAddress(String(host)),
        digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
        let port = UInt16(digits)
      else { return nil }
      self.address = address
      self.port = port
    }
  }

  package enum Key: String, CaseIterable, Sendable {
    case socketDir, sockets, stateDir, defaultPlugin, binDirs, hostRoot, dataDir, allowedPaths
    case networkDirs
    case maxConcurrent, maxQueued, requestTimeout, orphanGrace, healthAddress, podCIDR, logLevel
    case logFormat, logFile, overrides, plugins
  }

  package init() {}

  /// Socket path of the daemon, `cnid.sock` in `socketDir`.
  package var socketPath: String { socketDirectory + "/cnid.sock" }
}

/// What is wrong with a configuration file: the key, and why.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The key with its path, `plugins.macvlan`; empty for the file as a whole.
  package let key: String
  /// What is wrong with it.
  package let fault: String

  init(_ key: String, _ fault: String) {
    self.key = key
    self.fault = fault
  }

  /// `key: fault`.
  package var description: String { key.isEmpty ? fault : "\(key): \(fault)" }
}
