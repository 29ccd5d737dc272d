import Linux
public import Testing

/// `ctr run --cni` of Debian's containerd: a runtime with the real libcni, in a node's network.
///
/// scripts/test unpacks containerd and sets `CNI_CONTAINERD` to the directory. Nothing of it is
/// installed: the runtime sees an `/etc`, `/opt`, `/run` and `/var/lib` of its own.
public struct ContainerRuntime: Sendable {
  private let node: TestNode

  /// Makes one for a node; nothing runs yet.
  public init(_ node: TestNode) { self.node = node }

  /// Where the tree is; nil without one.
  public static let tree = Program.environment["CNI_CONTAINERD"]

  private var directory: String { node.directory("containerd") }

  /// What libcni remembers: its `/var/lib/cni`.
  public var cache: String { node.directory("cache") }
  /// Its `/etc/cni/net.d`.
  public var networks: String { node.directory("net.d") }
  /// What it and the plugins have printed.
  public var log: String {
    String(decoding: (try? Files.read(node.directory("containerd.log"))) ?? [], as: UTF8.self)
  }

  /// The container id that libcni is given for a container.
  public static func containerID(_ id: String) -> String { "default-\(id)" }

  /// Runs a container that sleeps, attached to the first network of ``networks``; its end is that
  /// of the process.
  ///
  /// - Parameters:
  ///   - id: the container's name.
  ///   - plugins: a directory with plugins beside the reference's.
  /// - Returns: `ctr`, once it has been started; the network may not be there yet.
  /// - Throws: when it could not be started.
  public func run(_ id: String, plugins: String) async throws -> RunningProcess {
    guard let tree = Self.tree else { throw TestError("CNI_CONTAINERD is not set") }
    for path in [directory, cache, networks] { try Files.makeDirectories(path) }
    let settings = """
      version = 2
      root = "\(directory)/root"
      state = "\(directory)/state"
      disabled_plugins = ["io.containerd.grpc.v1.cri"]
      [grpc]
      address = "\(directory)/c.sock"
      """
    try Files.write("\(directory)/config.toml", Array(settings.utf8), mode: [.write, .create])
    let command = [
      "/bin/sh", "-c", Self.script, directory, tree, cache, networks, plugins,
      Program.referencePlugins, id,
    ]
    let (log, network) = (node.directory("containerd.log"), node.network)
    return try await onThread {
      try RunningProcess(
        command, environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], log: log, in: network)
    }
  }

  /// containerd goes with `ctr`, which the shell becomes.
  private static let script = """
    set -e
    directory=$0 tree=$1 cache=$2 networks=$3 plugins=$4 reference=$5 id=$6
    mkdir "$directory/tree" "$directory/rootfs"
    mount --bind "$tree" "$directory/tree"
    for place in /etc /opt /run /var/lib; do mount -t tmpfs none $place; done
    mkdir -p /etc/cni /opt/cni/bin
    ln -s "$networks" /etc/cni/net.d
    ln -s "$cache" /var/lib/cni
    ln -s "$reference"/* "$plugins"/* /opt/cni/bin
    cd "$directory/rootfs"
    mkdir usr proc sys dev etc tmp
    for name in bin lib lib64 sbin; do ln -s usr/$name $name; done
    cd "$directory"
    PATH=$directory/tree/usr/bin:$directory/tree/usr/sbin:$PATH
    setpriv --pdeathsig KILL -- containerd --config config.toml &
    until [ -S c.sock ]; do sleep 0.05; done
    exec ctr --address "$directory/c.sock" run --cni --null-io \
      --runc-binary "$directory/tree/usr/sbin/runc" \
      --mount type=bind,src=/usr,dst=/usr,options=rbind:ro --rootfs "$directory/rootfs" \
      "$id" /bin/sh -c "sleep 600; : $directory"
    """

  /// Ends what a `ctr` that was killed has left running; nothing else has the directory's name in
  /// its command line.
  public func end() {
    for name in (try? Files.list("/proc")) ?? [] {
      guard let pid = Int32(name), let line = try? Files.read("/proc/\(pid)/cmdline"),
        String(decoding: line, as: UTF8.self).contains(directory)
      else { continue }
      try? Signal.kill.send(to: pid)
    }
  }
}

extension Trait where Self == ConditionTrait {
  /// Leaves a test out where there is no containerd to test with.
  public static var containerd: Self {
    .enabled(
      if: ContainerRuntime.tree != nil, "CNI_CONTAINERD is not set: no containerd to test with")
  }
}
