import CNI
import IPAM
import JSON
import Libcni
import Linux
import Netlink
package import PluginKit

/// What `--check-config` looks at: the daemon's file, and files of networks.
package struct ConfigurationCheck: Equatable, Sendable {
  private let file: String
  private let mayBeMissing: Bool
  private let networks: [String]
  private let socketDirectory: String?

  /// Looks at nothing yet.
  ///
  /// - Parameters:
  ///   - file: the daemon's file.
  ///   - mayBeMissing: whether the defaults do as well.
  ///   - networks: files as they lie in `/etc/cni/net.d`.
  ///   - socketDirectory: that of the command line, which wins.
  package init(
    file: String, mayBeMissing: Bool = false, networks: [String] = [],
    socketDirectory: String? = nil
  ) {
    self.file = file
    self.mayBeMissing = mayBeMissing
    self.networks = networks
    self.socketDirectory = socketDirectory
  }

  /// The files that were asked about.
  package var files: [String] { (mayBeMissing ? [] : [file]) + networks }

  /// Everything that is wrong, a line each.
  ///
  /// - Parameter plugins: those of the daemon.
  /// - Returns: nothing if all is good.
  package func faults(_ plugins: [any NetworkPlugin]) -> [String] {
    var (configuration, faults) = daemon()
    if let socketDirectory { configuration.socketDirectory = socketDirectory }
    let registry: PluginRegistry
    do throws(NetlinkError) {
      registry = PluginRegistry.assemble(plugins, host: try Self.host(configuration)).registry
    } catch {
      return faults + ["\(error)"]
    }
    let more =
      registry.missing(for: configuration) + configuration.faultsAround()
      + registry.unknownDefaults(of: configuration)
    faults += more.map { "\(file): \($0)" }
    faults += Self.faults(inDirectories: configuration.networkDirectories)
    let check = NetworkCheck(registry: registry, configuration: configuration)
    for path in networks { faults += check.faults(inFile: path).map { "\(path): \($0)" } }
    return faults
  }

  /// What is wrong with the files of networks; a directory that is not there may still come.
  private static func faults(inDirectories directories: [String]) -> [String] {
    var table = NetworkTable(directories)
    return table.look().compactMap { remark in
      switch remark {
      case .damaged(let file, let fault, _), .unreadable(let file, let fault): "\(file): \(fault)"
      case .hidden(let network, let file, let first):
        "\(file): it names network \(goQuoted(network)), as \(first) does, which counts"
      default: nil
      }
    }
  }

  private func daemon() -> (Configuration, [String]) {
    do throws(SystemError) {
      let (configuration, faults) = Configuration.read(try Files.read(file, limit: 1 << 20))
      return (configuration, faults.map { "\(file): \($0)" })
    } catch {
      let isFault = !mayBeMissing || error.errno != .noEntry
      return (Configuration(), isFault ? ["configuration: \(error)"] : [])
    }
  }

  /// A host for plugins that are asked about configurations only.
  private static func host(_ configuration: Configuration) throws(NetlinkError) -> PluginHost {
    PluginHost(
      dataDirectory: configuration.dataDirectory, binDirectories: configuration.binDirectories,
      linkRemover: try LinkRemover { _ in }, log: { _, _ in })
  }
}

extension Configuration {
  /// What is wrong with values that are good by themselves.
  fileprivate func faultsAround() -> [ConfigurationError] {
    var faults: [ConfigurationError] = []
    for (key, path) in [("socketDir", socketPath)] + sockets.map({ ("sockets", $0) })
    where path.utf8.count > UnixSocket.maximumPathLength {
      faults.append(
        ConfigurationError(
          key,
          "\(path) has \(path.utf8.count) bytes; the path of a socket has at most "
            + "\(UnixSocket.maximumPathLength)"))
    }
    if let hostRoot, (try? Files.status(hostRoot))?.kind != .directory {
      faults.append(ConfigurationError("hostRoot", "there is no directory \(hostRoot)"))
    }
    if let logFile, let slash = logFile.utf8.lastIndex(of: 0x2F), slash > logFile.startIndex {
      let directory = String(logFile[..<slash])
      if (try? Files.status(directory))?.kind != .directory {
        faults.append(ConfigurationError("logFile", "there is no directory \(directory)"))
      }
    }
    return faults
  }
}

extension PluginRegistry {
  /// The keys in `plugins` that no plugin reads.
  fileprivate func unknownDefaults(of configuration: Configuration) -> [ConfigurationError] {
    var faults: [ConfigurationError] = []
    for (name, defaults) in configuration.plugins.sorted(by: { $0.key < $1.key }) {
      guard let plugin = plugin(named: name) else { continue }
      var whole = defaults
      if defaults["name"] == nil { whole["name"] = "any" }
      do throws(CNIError) {
        let network = try NetworkConfiguration(whole)
        for key in NetworkRemarks.unknownKeys(of: network, plugin) {
          faults.append(ConfigurationError("plugins.\(name)", key.description))
        }
      } catch {
        faults.append(ConfigurationError("plugins.\(name)", error.message))
      }
    }
    return faults
  }
}
