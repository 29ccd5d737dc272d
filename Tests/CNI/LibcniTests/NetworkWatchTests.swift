import Glibc
import Linux
import TestSupport
import Testing

@testable import Libcni

/// A thread that watches a directory as the daemon's does, and what it has seen.
private final class Watcher: Sendable {
  struct Seen: Sendable {
    /// The types of each network's plugins.
    var networks: [String: [String]] = [:]
    var remarks: [NetworkRemark] = []
    var looks = 0
  }

  let seen = Watched(Seen())
  private let bell: EventDescriptor
  private let isOver = Locked(false)

  init(_ directories: [String]) throws {
    bell = try EventDescriptor()
    try OSThread.start { self.run(directories) }
  }

  private func run(_ directories: [String]) {
    var watch = NetworkWatch(directories)
    while !isOver.value {
      bell.reset()
      let remarks = watch.look()
      let networks = watch.table.networks.map { ($0.list.name, $0.list.plugins.map(\.type)) }
      seen.change { seen in
        seen.networks = Dictionary(uniqueKeysWithValues: networks)
        seen.remarks += remarks
        seen.looks += 1
      }
      watch.wait(or: bell.descriptor.rawValue)
    }
  }

  /// Ends the thread.
  func stop() {
    isOver.withLock { $0 = true }
    bell.signal()
  }

  /// Waits until these are the networks.
  func has(_ networks: [String: [String]]) async -> Bool {
    await seen.reaches { $0.networks == networks }
  }

  /// Waits for the first look.
  func begins() async -> Bool { await seen.reaches { $0.looks > 0 } }
}

@Suite("A change of a network's file is noticed within a second")
struct NetworkWatchTests {
  private let folder: NetworkFolder

  init() throws { folder = try NetworkFolder() }

  /// Watches a directory, makes a change, and expects these networks within a second; then the
  /// same of the next change.
  private func expect(
    _ changes: [(networks: [String: [String]], change: () throws -> Void)],
    in directory: String? = nil, _ location: SourceLocation = #_sourceLocation
  ) async throws -> [NetworkRemark] {
    let watcher = try Watcher([directory ?? folder.path])
    defer { watcher.stop() }
    #expect(await watcher.begins(), sourceLocation: location)
    for (networks, change) in changes {
      try change()
      let start = KernelClock.monotonic
      #expect(
        await watcher.has(networks), "\(networks), not \(watcher.seen.value)",
        sourceLocation: location)
      let passed = (KernelClock.monotonic - start) / 1_000_000
      #expect(passed < 1000 * Program.patience, sourceLocation: location)
    }
    return watcher.seen.value.remarks
  }

  @Test("a file that is written, written in place, and renamed over")
  func written() async throws {
    let new = folder.outer("new")
    _ = try await expect([
      (["a": ["bridge"]], { try folder.write("a.conf", NetworkFolder.list("a")) }),
      (["a": ["ptp"]], { try folder.write("a.conf", NetworkFolder.list("a", "ptp")) }),
      (
        ["a": ["vlan"]],
        {
          try Files.write(
            new, Array(NetworkFolder.list("a", "vlan").utf8), mode: [.write, .create])
          try Files.rename(new, folder("a.conf"))
        }
      ),
    ])
  }

  @Test("a file that is written in place by many writes, and only when it is closed")
  func inPlace() async throws {
    try folder.write("a.conf", NetworkFolder.list("a"))
    let text = Array(NetworkFolder.list("a", "ptp").utf8)
    let remarks = try await expect([
      (["a": ["bridge"]], {}),
      (
        ["a": ["ptp"]],
        {
          let file = try Files.open(folder("a.conf"), [.write, .truncate])
          for byte in text {
            _ = try Descriptor.write(file.rawValue, [byte])
            Clock.pause(milliseconds: 1)
          }
        }
      ),
    ])
    #expect(
      remarks.dropFirst() == [.changed(network: "a", file: folder("a.conf"))], "\(remarks)")
  }

  @Test("a file that goes: renamed to another name, out of the directory, and removed")
  func gone() async throws {
    for name in ["a", "b", "c"] { try folder.write("\(name).conf", NetworkFolder.list(name)) }
    _ = try await expect([
      (["a": ["bridge"], "b": ["bridge"], "c": ["bridge"]], {}),
      (
        ["b": ["bridge"], "c": ["bridge"]],
        { try Files.rename(folder("a.conf"), folder("a.conf.bak")) }
      ),
      (["c": ["bridge"]], { try Files.rename(folder("b.conf"), folder.outer("b.conf")) }),
      ([:], { try Files.remove(folder("c.conf")) }),
    ])
  }

  @Test("a directory that appears step by step, goes, and is made again")
  func directory() async throws {
    let path = folder.outer("x/y/net.d")
    func fill(_ type: String) throws {
      try Files.makeDirectories(path)
      try Files.write(
        "\(path)/a.conf", Array(NetworkFolder.list("a", type).utf8), mode: [.write, .create])
    }
    let outer = folder.outer
    _ = try await expect(
      [
        (["a": ["one"]], { try fill("one") }),
        ([:], { TemporaryDirectory.removeTree(path) }),
        (["a": ["two"]], { try fill("two") }),
        // The directory itself stays what it was; only its path is another.
        ([:], { try Files.rename(outer("x"), outer("z")) }),
        (["a": ["three"]], { try fill("three") }),
        (
          ["a": ["four"]],
          {
            TemporaryDirectory.removeTree(outer("x"))
            try fill("four")
          }
        ),
      ], in: path)
  }

  @Test("a directory behind a symbolic link that leads elsewhere")
  func link() async throws {
    let outer = folder.outer
    for name in ["v1", "v2"] {
      try Files.makeDirectory(outer(name))
      try Files.write(
        "\(outer(name))/a.conf", Array(NetworkFolder.list("a", name).utf8),
        mode: [.write, .create])
    }
    try swap("v1", outer("current"))
    _ = try await expect(
      [
        (["a": ["v1"]], {}), (["a": ["v2"]], { try swap("v2", outer("current")) }),
        ([:], { try Files.remove("\(outer("v2"))/a.conf") }),
        ([:], { try Files.remove(outer("current")) }),
        (["a": ["v1"]], { try swap("v1", outer("current")) }),
      ], in: outer("current"))
  }

  @Test("a file behind a symbolic link that leads out of the directory")
  func linkedFile() async throws {
    let file = folder.outer("elsewhere")
    func write(_ type: String) throws {
      try Files.overwrite(file, Array(NetworkFolder.list("a", type).utf8))
    }
    #expect(unsafe symlink("../elsewhere", folder("a.conf")) == 0)
    _ = try await expect([
      (["a": ["one"]], { try write("one") }), (["a": ["two"]], { try write("two") }),
      ([:], { try Files.remove(file) }),
    ])
  }

  /// Puts a symbolic link in the place of another, as kubelet does.
  private func swap(_ target: String, _ link: String) throws {
    #expect(unsafe symlink(target, "\(link)_tmp") == 0)
    try Files.rename("\(link)_tmp", link)
  }

  /// What kubelet's atomic writer does for a new version of a ConfigMap.
  private func project(_ version: String, _ files: [String: String]) throws {
    let old = try? Files.linkTarget(folder("..data"))
    try Files.makeDirectory(folder(version))
    for (name, text) in files { try folder.write("\(version)/\(name)", text) }
    try swap(version, folder("..data"))
    for name in files.keys where (try? Files.linkStatus(folder(name))) == nil {
      #expect(unsafe symlink("..data/\(name)", folder(name)) == 0)
    }
    for name in try Files.list(folder.path) where !name.hasPrefix("..") && files[name] == nil {
      try Files.remove(folder(name))
    }
    if let old { TemporaryDirectory.removeTree(folder(old)) }
  }

  @Test("a ConfigMap's new version, with a file more and a file less")
  func configMap() async throws {
    let remarks = try await expect([
      (
        ["a": ["one"]], { try project("..1", ["a.conf": NetworkFolder.list("a", "one")]) }
      ),
      (
        ["a": ["two"], "b": ["two"]],
        {
          try project(
            "..2",
            ["a.conf": NetworkFolder.list("a", "two"), "b.conf": NetworkFolder.list("b", "two")])
        }
      ),
      (["b": ["three"]], { try project("..3", ["b.conf": NetworkFolder.list("b", "three")]) }),
      (["b": ["four"]], { try project("..4", ["b.conf": NetworkFolder.list("b", "four")]) }),
    ])
    #expect(remarks.filter { if case .damaged = $0 { true } else { false } } == [])
  }

  @Test("plugins in files beside a list: they come with their directory, change, and go")
  func beside() async throws {
    try folder.write("a.conflist", NetworkFolder.list("a"))
    _ = try await expect([
      (["a": ["bridge"]], {}),
      (
        ["a": ["bridge", "sbr"]],
        {
          try Files.makeDirectory(folder("a"))
          try folder.write("a/1.conf", #"{"type":"sbr"}"#)
        }
      ),
      (["a": ["bridge", "tuning"]], { try folder.write("a/1.conf", #"{"type":"tuning"}"#) }),
      (["a": ["bridge"]], { TemporaryDirectory.removeTree(folder("a")) }),
      (
        ["a": ["bridge", "sbr"]],
        {
          try Files.makeDirectory(folder("a"))
          try folder.write("a/1.conf", #"{"type":"sbr"}"#)
        }
      ),
    ])
  }

  @Test("a file that is not good, and is good again")
  func damaged() async throws {
    try folder.write("a.conf", NetworkFolder.list("a"))
    let watcher = try Watcher([folder.path])
    defer { watcher.stop() }
    #expect(await watcher.begins())
    try folder.write("a.conf", "{")
    #expect(
      await watcher.seen.reaches { seen in
        seen.remarks.contains { if case .damaged(_, _, "a") = $0 { true } else { false } }
      })
    #expect(watcher.seen.value.networks == ["a": ["bridge"]])
    try folder.write("a.conf", NetworkFolder.list("a", "ptp"))
    #expect(await watcher.has(["a": ["ptp"]]))
  }

  @Test("a burst of changes is a few looks, and more than the kernel keeps is not lost")
  func burst() async throws {
    let watcher = try Watcher([folder.path])
    defer { watcher.stop() }
    #expect(await watcher.begins())
    let start = (looks: watcher.seen.value.looks, time: KernelClock.monotonic)
    let folder = folder
    try await onThread {
      // Two names in turn: equal events that follow each other count as one.
      for number in 0..<20_000 { try folder.write("\(number % 2)", "") }
      try folder.write("a.conf", NetworkFolder.list("a"))
    }
    #expect(await watcher.has(["a": ["bridge"]]))
    let passed = Int((KernelClock.monotonic - start.time) / 1_000_000)
    #expect(watcher.seen.value.looks - start.looks <= 4 + passed / 50)
  }

  @Test("while nothing changes nothing runs, and what happens beside it wakes nobody")
  func quiet() async throws {
    try folder.write("a.conf", NetworkFolder.list("a"))
    let bell = try EventDescriptor()
    let (folder, descriptor) = (folder, bell.descriptor.rawValue)
    let time = await onThread {
      var watch = NetworkWatch([folder.path])
      _ = watch.look()
      try? Files.write(folder.outer("b"), [1], mode: [.write, .create])
      _ = try? Files.read(folder("a.conf"))
      try? OSThread.start {
        Clock.pause(milliseconds: 1500)
        var one: UInt64 = 1
        _ = unsafe Glibc.write(descriptor, &one, 8)
      }
      let start = KernelClock.monotonic
      watch.wait(or: descriptor)
      return (KernelClock.monotonic - start) / 1_000_000
    }
    #expect(time >= 1400)
    _ = bell.isSignalled
  }

  @Test("without inotify changes are looked for, which is told once, until it can be had")
  func unwatched() async throws {
    try folder.write("a.conf", NetworkFolder.list("a"))
    let (folder, isShort) = (folder, Locked(true))
    let bell = try EventDescriptor()
    let descriptor = bell.descriptor.rawValue
    let remarks = try await onThread {
      var watch = NetworkWatch([folder.path]) { () throws(SystemError) in
        if isShort.value { throw SystemError("inotify_init", "", .tooManyFiles) }
        return try DirectoryWatch()
      }
      var remarks = [watch.look()]
      for type in ["ptp", "vlan"] {
        try folder.write("a.conf", NetworkFolder.list("a", type))
        watch.wait(or: descriptor)
        remarks.append(watch.look())
      }
      isShort.withLock { $0 = false }
      for type in ["ipvlan", "vrf"] {
        try folder.write("a.conf", NetworkFolder.list("a", type))
        watch.wait(or: descriptor)
        remarks.append(watch.look())
      }
      return remarks
    }
    let changed = NetworkRemark.changed(network: "a", file: folder("a.conf"))
    let fault = SystemError("inotify_init", "", .tooManyFiles).description
    #expect(
      remarks == [
        [.appeared(network: "a", file: folder("a.conf")), .unwatched(fault: fault)], [changed],
        [changed], [changed, .watched], [changed],
      ])
    _ = bell.isSignalled
  }
}
