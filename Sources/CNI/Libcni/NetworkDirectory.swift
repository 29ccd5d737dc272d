import CNI
import Linux

/// One directory of networks, read as libcni reads it; each file counts as it was when it was last
/// good.
struct NetworkDirectory: Sendable {
  /// A file of the directory.
  private struct Entry {
    /// What it said when it was last good.
    var good: NetworkList?
    /// What is wrong with it since.
    var damage: Damage?
  }

  private struct Damage: Equatable {
    let fault: String
    /// What it says now: another fault in the same words is told again.
    let content: [[UInt8]]
  }

  private enum Sight {
    case good(NetworkList)
    case damaged(Damage)
    case nothing
    case later(String)
  }

  let path: String
  private var entries: [String: Entry] = [:]
  /// What was last said of the directory, and of files that could not be read.
  private var said: Set<String> = []
  private var isMissing = false
  /// Whether something could not be read that may be readable soon.
  private(set) var isUnsettled = false
  /// What has to be watched to learn of a change.
  private(set) var places = DirectoryWatch.Places()

  /// `libcni.ConfFiles` for networks, and for plugins beside a list.
  private static let suffixes = [".conf", ".conflist", ".json"]
  private static let suffixesOfPlugins = [".conf"]

  /// Has not read anything yet.
  init(_ path: String) { self.path = path }

  /// The lists of files that are or were good, in the order of the files' names.
  var lists: [(file: String, list: NetworkList)] {
    entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      .compactMap { name, entry in entry.good.map { (file: "\(path)/\(name)", list: $0) } }
  }

  /// How many files are good, and how many are not.
  var counts: (good: Int, damaged: Int) {
    let damaged = entries.values.count { $0.damage != nil }
    return (entries.count - damaged, damaged)
  }

  /// Reads the directory.
  ///
  /// - Returns: what is new about it and its files.
  mutating func look() -> [NetworkRemark] {
    var remarks: [NetworkRemark] = []
    (places, isUnsettled) = (DirectoryWatch.Places(), false)
    let before = said
    said = []
    guard let end = places.follow(path) else {
      lookWithoutDirectory(before, &remarks)
      return remarks
    }
    isMissing = false
    places.add(end, .everything)
    do throws(SystemError) {
      let names = try Files.list(path, Self.suffixes)
      let present = Set(names)
      entries = entries.filter { present.contains($0.key) }
      var budget = ReadingBudget()
      for name in names { look(at: name, end, &budget, before, &remarks) }
    } catch {
      isUnsettled = true
      // If it has gone, that is seen at the next look.
      if error.errno != .noEntry {
        say(.unreadable(path: path, fault: "\(error)"), before, &remarks)
      }
    }
    return remarks
  }

  /// Says what is in the directory's place; what was known goes unless that cannot be seen.
  private mutating func lookWithoutDirectory(
    _ before: Set<String>, _ remarks: inout [NetworkRemark]
  ) {
    do throws(SystemError) {
      // One that has come meanwhile wakes again.
      if try Files.status(path).kind == .directory { return isUnsettled = true }
      entries = [:]
      say(.unreadable(path: path, fault: "it is not a directory"), before, &remarks)
    } catch {
      guard [.noEntry, .notDirectory, .loop].contains(error.errno) else {
        isUnsettled = true
        return say(.unreadable(path: path, fault: "\(error)"), before, &remarks)
      }
      entries = [:]
      if !isMissing { remarks.append(.missing(directory: path)) }
      isMissing = true
    }
  }

  private mutating func say(
    _ remark: NetworkRemark, _ before: Set<String>, _ remarks: inout [NetworkRemark]
  ) {
    let text = "\(remark)"
    if !before.contains(text) { remarks.append(remark) }
    said.insert(text)
  }

  private mutating func look(
    at name: String, _ end: String, _ budget: inout ReadingBudget, _ before: Set<String>,
    _ remarks: inout [NetworkRemark]
  ) {
    let file = "\(path)/\(name)"
    follow(name, in: end)
    let old = entries[name]
    switch sight(of: file, end, &budget) {
    case .nothing: entries[name] = nil
    case .later(let fault):
      isUnsettled = true
      say(.unreadable(path: file, fault: fault), before, &remarks)
    case .damaged(let damage):
      entries[name] = Entry(good: old?.good, damage: damage)
      if old?.damage != damage {
        remarks.append(.damaged(file: file, fault: damage.fault, kept: old?.good?.name))
      }
    case .good(let list):
      entries[name] = Entry(good: list)
      if old?.damage != nil { remarks.append(.mended(file: file)) }
    }
  }

  /// Has the way of a symbolic link watched, which leads out of the directory.
  private mutating func follow(_ name: String, in directory: String) {
    if (try? Files.linkStatus("\(directory)/\(name)"))?.kind == .symbolicLink {
      _ = places.follow(name, from: directory)
    }
  }

  private mutating func sight(
    of file: String, _ end: String, _ budget: inout ReadingBudget
  ) -> Sight {
    let bytes: [UInt8]
    switch budget.read(file) {
    case .bytes(let read): bytes = read
    case .nothing: return .nothing
    case .damaged(let fault): return .damaged(Damage(fault: fault, content: []))
    case .later(let fault): return .later(fault)
    }
    do throws(CNIError) {
      let list = try NetworkList(parsing: bytes)
      return list.takesOnlyInlined ? .good(list) : withPlugins(list, end, &budget)
    } catch {
      return .damaged(Damage(fault: error.message, content: [bytes]))
    }
  }

  /// Reads the plugins that lie in files beside a list, in a directory of the network's name.
  private mutating func withPlugins(
    _ list: NetworkList, _ end: String, _ budget: inout ReadingBudget
  ) -> Sight {
    var content = [list.bytes]
    var plugins: [ListedPlugin] = []
    var names: [String] = []
    let directory = "\(path)/\(list.name)"
    if let inner = places.follow(list.name, from: end) {
      places.add(inner, .everything)
      do throws(SystemError) {
        names = try Files.list(directory, Self.suffixesOfPlugins)
      } catch {
        if error.errno != .noEntry { return .later("\(error)") }
      }
      for name in names { follow(name, in: inner) }
    }
    for name in names {
      func damage(_ fault: String) -> Sight {
        .damaged(Damage(fault: "\(list.name)/\(name): \(fault)", content: content))
      }
      switch budget.read("\(directory)/\(name)") {
      case .nothing: continue
      case .later(let fault): return .later(fault)
      case .damaged(let fault): return damage(fault)
      case .bytes(let bytes):
        content.append(bytes)
        do throws(CNIError) {
          plugins.append(try ListedPlugin(parsing: bytes))
        } catch {
          return damage(error.message)
        }
      }
    }
    let whole = list.withPlugins(plugins)
    if whole.plugins.isEmpty {
      return .damaged(
        Damage(fault: "it has no plugins, and none are in \(directory)", content: content))
    }
    return .good(whole)
  }
}
