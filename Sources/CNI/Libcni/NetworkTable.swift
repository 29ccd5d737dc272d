import Linux

/// The networks that some directories hold, by their names.
///
/// Directories count in their order, and the files of one by the order of their names: of two
/// networks with one name the first counts. A file that is not good counts as it was when it was
/// last good; one that was never good counts for nothing.
package struct NetworkTable: Sendable {
  /// A network and where it comes from.
  package struct Network: Equatable, Sendable {
    /// The path of its file.
    package let file: String
    /// What the file says, with the plugins of files beside it.
    package let list: NetworkList
  }

  private struct Hidden: Hashable {
    let network: String
    let file: String
    let by: String
  }

  /// In the order in which they count.
  package private(set) var networks: [Network] = []
  private var indices: [String: Int] = [:]
  private var hidden: Set<Hidden> = []
  private var directories: [NetworkDirectory]

  /// Has not read anything yet.
  ///
  /// - Parameter directories: absolute paths; they need not be there.
  package init(_ directories: [String]) {
    self.directories = []
    setDirectories(directories)
  }

  /// Takes other directories from the next look on; what is known of those that stay, stays.
  package mutating func setDirectories(_ paths: [String]) {
    var seen: Set<String> = []
    directories = paths.filter { seen.insert($0).inserted }.map { path in
      directories.first { $0.path == path } ?? NetworkDirectory(path)
    }
  }

  /// The network of that name.
  package func network(named name: String) -> Network? {
    indices[name].flatMap { networks.indices.contains($0) ? networks[$0] : nil }
  }

  /// How many files are good, those that count for nothing included, and how many are not.
  package var counts: (good: Int, damaged: Int) {
    directories.map(\.counts).reduce((good: 0, damaged: 0)) {
      (good: $0.good + $1.good, damaged: $0.damaged + $1.damaged)
    }
  }

  /// Whether something could not be read that may be readable soon.
  var isUnsettled: Bool { directories.contains(where: \.isUnsettled) }

  /// What has to be watched to learn of a change.
  var places: DirectoryWatch.Places {
    var all = DirectoryWatch.Places()
    for directory in directories { all.add(directory.places) }
    return all
  }

  /// Reads all directories.
  ///
  /// - Returns: what is new since the last time.
  package mutating func look() -> [NetworkRemark] {
    var remarks: [NetworkRemark] = []
    for index in directories.indices { remarks += directories[index].look() }
    let before = (networks: networks, indices: indices, hidden: hidden)
    collect()
    for network in networks {
      let (name, file) = (network.list.name, network.file)
      switch before.indices[name].map({ before.networks[$0] }) {
      case nil: remarks.append(.appeared(network: name, file: file))
      case network: break
      case .some: remarks.append(.changed(network: name, file: file))
      }
    }
    for network in before.networks where indices[network.list.name] == nil {
      remarks.append(.removed(network: network.list.name, file: network.file))
    }
    for one in hidden.subtracting(before.hidden).sorted(by: { $0.file < $1.file }) {
      remarks.append(.hidden(network: one.network, file: one.file, by: one.by))
    }
    return remarks
  }

  private mutating func collect() {
    (networks, indices, hidden) = ([], [:], [])
    for directory in directories {
      for (file, list) in directory.lists {
        if let first = network(named: list.name) {
          hidden.insert(Hidden(network: list.name, file: file, by: first.file))
        } else {
          indices[list.name] = networks.count
          networks.append(Network(file: file, list: list))
        }
      }
    }
  }
}
