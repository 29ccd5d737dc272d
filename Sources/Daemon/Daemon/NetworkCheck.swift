import CNI
import IPAM
import JSON
import Linux
import PluginKit

/// Reads a network's file, a configuration or a list, and finds all that is wrong with it.
struct NetworkCheck {
  let registry: PluginRegistry
  let configuration: Configuration

  /// The keys of a list beside those of its plugins.
  private static let keysOfLists = KeyTable([
    "cniVersion", "cniVersions", "name", "disableCheck", "disableGC", "loadOnlyInlinedPlugins",
    "plugins",
  ])

  /// What is wrong, a line each.
  func faults(inFile path: String) -> [String] {
    do throws(SystemError) {
      return faults(in: try Files.read(path, limit: 1 << 20))
    } catch {
      return ["\(error)"]
    }
  }

  /// What is wrong with a file's bytes.
  func faults(in bytes: [UInt8]) -> [String] {
    do throws(CNIError) {
      let reader = try MemberReader(parsing: bytes, CNIMembers())
      guard let plugins = reader.member("plugins") else {
        return try faults(of: reader.object) ?? ["its type is no plugin of this cnid"]
      }
      return try faults(ofList: reader, plugins.readers())
    } catch {
      return [error.message]
    }
  }

  private func faults(
    ofList list: MemberReader, _ plugins: [MemberReader], isPart: Bool = false
  ) throws(CNIError) -> [String] {
    var faults = NetworkCheck.keysOfLists.unknownKeys(in: list.object).map(\.description)
    if plugins.isEmpty { faults.append("plugins is empty") }
    var isServed = false
    for plugin in plugins {
      var object = plugin.object
      for key in ["name", "cniVersion"] { object.set(inAnyCase: key, to: list.member(key)?.value) }
      do throws(CNIError) {
        guard let found = try self.faults(of: object) else { continue }
        faults += found.map { "\(plugin.path): \($0)" }
      } catch {
        faults.append("\(plugin.path): \(error.message)")
      }
      isServed = true
    }
    if !isServed, !isPart, !plugins.isEmpty {
      faults.append("no type in it is a plugin of this cnid")
    }
    return faults
  }

  /// What is wrong with one plugin's configuration; nil if it is another program's.
  ///
  /// - Throws: what makes it no configuration at all.
  private func faults(of object: JSONObject) throws(CNIError) -> [String]? {
    var network = try NetworkConfiguration(object).overridden(by: configuration.overrides)
    let plugin: any NetworkPlugin
    do throws(CNIError) {
      plugin = try registry.choose(for: network, defaultPlugin: configuration.defaultPlugin)
    } catch {
      let isOurs = network.object.value(inAnyCase: "plugin") != nil || network.type == "cni-shim"
      if isOurs || network.type == nil { throw error }
      return nil
    }
    network = try network.completed(with: configuration.plugins[plugin.name] ?? JSONObject())
    try network.checkVersion(for: .add)
    return NetworkRemarks.unknownKeys(of: network, plugin).map(\.description)
      + values(of: network, plugin) + (plugin.servesSets ? try delegates(of: network) : [])
  }

  /// What is wrong with the networks of a set; what their programs read is not known.
  private func delegates(of network: NetworkConfiguration) throws(CNIError) -> [String] {
    let reader = MemberReader(network.object, CNIMembers())
    let one = try reader.reader("delegate").map { [$0] } ?? []
    var faults: [String] = []
    for entry in try reader.readers("delegates") + one {
      var object = entry.object
      for key in ["name", "cniVersion"] where entry.member(key) == nil {
        object.set(inAnyCase: key, to: reader.member(key)?.value)
      }
      do throws(CNIError) {
        let found: [String]
        if let plugins = entry.member("plugins") {
          let list = MemberReader(object, CNIMembers())
          found = try self.faults(ofList: list, plugins.readers(), isPart: true)
        } else {
          found = try self.faults(of: object) ?? []
        }
        // Those of a list's plugins say where they are.
        faults += found.map { $0.hasPrefix(entry.path) ? $0 : "\(entry.path): \($0)" }
      } catch {
        faults.append("\(entry.path): \(error.message)")
      }
    }
    return faults
  }

  /// What is wrong with values: of each key alone, so that one fault hides no other, and together.
  private func values(of network: NetworkConfiguration, _ plugin: any NetworkPlugin) -> [String] {
    var faults: [String] = []
    func note(_ check: () throws(CNIError) -> Void) {
      do throws(CNIError) {
        try check()
      } catch {
        if !faults.contains(error.message) { faults.append(error.message) }
      }
    }
    let name = JSONValue.string(network.name)
    for member in network.object.members {
      let alone = JSONObject([("name", name), (member.key, member.value)])
      note { () throws(CNIError) in try plugin.inspect(try NetworkConfiguration(alone)) }
    }
    note { () throws(CNIError) in try plugin.inspect(network) }
    note { () throws(CNIError) in try IPAMDriver.inspect(network) }
    return faults
  }
}
