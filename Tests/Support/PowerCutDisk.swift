import Linux

/// A small ext4 disk whose power can be cut: what the kernel has not written to it by then is gone.
///
/// The disk is an image file behind a loop device. A copy of that file is what a power cut at this
/// moment would leave. Only the calling thread sees the mounts, so everything has to be done on it.
public struct PowerCutDisk {
  private let directory: TemporaryDirectory
  private let options: String

  /// Where the disk is mounted.
  public var path: String { directory("disk") }

  /// Why there can be no such disk here; nil if there can.
  public static let impossible: String? = {
    guard Process.effectiveUser == 0 else { return "mounting needs root" }
    guard (try? Files.status("/dev/loop-control")) != nil else { return "no loop devices" }
    let systems = (try? Files.read("/proc/filesystems")) ?? []
    guard String(decoding: systems, as: UTF8.self).contains("ext4") else { return "no ext4" }
    for tool in ["/usr/sbin/mkfs.ext4", "/usr/sbin/losetup"] {
      guard (try? Files.status(tool)) != nil else { return "\(tool) is missing" }
    }
    return nil
  }()

  /// Creates an empty disk and mounts it.
  ///
  /// - Parameters:
  ///   - directory: outlives the thread, on which it could not be removed.
  ///   - commitSeconds: how often the kernel writes the names by itself.
  /// - Throws: when it cannot be mounted.
  public init(in directory: TemporaryDirectory, commitSeconds: Int) throws {
    self.directory = directory
    options = "loop,commit=\(commitSeconds)"
    try TestMounts.becomePrivate()
    try Files.makeDirectory(path)
    try Self.run("truncate", "-s", "16M", image)
    try Self.run("/usr/sbin/mkfs.ext4", "-q", "-F", image)
    try mount()
  }

  private var image: String { directory("image") }

  /// Cuts the power and starts the machine again: what is mounted afterwards is what the disk had.
  public func cut() throws {
    try Self.run("cp", "--sparse=never", image, image + ".cut")
    try unmount()
    try Files.rename(image + ".cut", image)
    try mount()
  }

  /// To be called at the end: gives the loop device back.
  public func unmount() throws {
    let deadline = soon
    while true {
      do {
        return try Self.run("umount", path)
      } catch {
        // A child that another test has just forked holds our open files until it executes its
        // program.
        if deadline.isOver { throw error }
        Clock.pause(milliseconds: 20)
      }
    }
  }

  private func mount() throws { try Self.run("mount", "-t", "ext4", "-o", options, image, path) }

  private static func run(_ command: String...) throws {
    let result = try Program.runBlocking(command, within: 60_000)
    guard result.succeeded else { throw TestError("\(command): \(result)") }
  }
}
