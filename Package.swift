// swift-tools-version: 6.2
import PackageDescription

// CNI_EMBEDDED=1 builds the shim and the modules below it in Embedded Swift (scripts/build).
// Without it everything is ordinary Swift, so tests can import every module.
let embedded = Context.environment["CNI_EMBEDDED"] == "1"

/// The folders of Sources, lowest first: a module imports only from its own floor and those below
/// (scripts/lint).
enum Floor: String {
  case system = "System"
  case protocols = "Protocols"
  case cni = "CNI"
  case plugins = "Plugins"
  case shim = "Shim"
  case daemon = "Daemon"
  case programs = "Programs"
}

func module(_ floor: Floor, _ name: String, _ dependencies: [String] = []) -> Target {
  .target(
    name: name, dependencies: dependencies.map { .init(stringLiteral: $0) },
    path: "Sources/\(floor.rawValue)/\(name)")
}

func program(_ name: String, _ dependencies: [String]) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies.map { .init(stringLiteral: $0) },
    path: "Sources/\(Floor.programs.rawValue)/\(name)")
}

/// The tests of a module; nil for those of the whole.
func tests(_ floor: Floor?, _ name: String, _ dependencies: [String]) -> Target {
  .testTarget(
    name: name, dependencies: (dependencies + ["TestSupport"]).map { .init(stringLiteral: $0) },
    path: floor.map { "Tests/\($0.rawValue)/\(name)" } ?? "Tests/\(name)")
}

// Written in the Embedded subset: shim and daemon share them.
let shared: [Target] = [
  module(.system, "CLinux"),
  module(.system, "Addresses"),
  module(.system, "Linux", ["CLinux", "Addresses"]),
  module(.protocols, "JSON"),
  module(.protocols, "HTTP", ["Linux", "Addresses"]),
  module(.cni, "CNI", ["JSON", "Linux", "Addresses"]),
  module(.cni, "DaemonAPI", ["CNI", "HTTP", "JSON", "Linux"]),
  module(.shim, "ShimCore", ["DaemonAPI", "CNI", "JSON", "Linux", "Addresses"]),
  program("cni-shim", ["ShimCore", "Linux"]),
]

let ordinary: [Target] = [
  module(.protocols, "Netlink", ["Linux", "Addresses", "CLinux"]),
  module(.protocols, "OVSDB", ["Linux", "Addresses", "JSON"]),
  module(.protocols, "VRouterAgent", ["HTTP", "JSON", "Linux", "Addresses"]),
  module(.cni, "Libcni", ["CNI", "JSON", "Linux"]),
  module(.cni, "IPAM", ["Libcni", "CNI", "JSON", "Linux", "Addresses"]),
  module(.plugins, "PluginKit", ["CNI", "Netlink", "JSON", "Linux", "Addresses"]),
  module(
    .plugins, "Workbench", ["PluginKit", "IPAM", "CNI", "Netlink", "JSON", "Linux", "Addresses"]),
  module(
    .plugins, "MacvlanPlugin",
    ["Workbench", "PluginKit", "CNI", "Netlink", "JSON", "Addresses"]),
  module(
    .plugins, "OVSPlugin",
    ["Workbench", "PluginKit", "OVSDB", "CNI", "Netlink", "JSON", "Linux", "Addresses"]),
  module(
    .plugins, "VRouterPlugin",
    [
      "Workbench", "PluginKit", "VRouterAgent", "CNI", "HTTP", "Netlink", "JSON", "Linux",
      "Addresses",
    ]),
  module(
    .plugins, "DelegatePlugin", ["Workbench", "PluginKit", "Libcni", "CNI", "JSON", "Linux"]),
  module(.daemon, "Records", ["PluginKit", "DaemonAPI", "CNI", "Linux"]),
  module(.daemon, "Scheduling", ["PluginKit", "CNI", "Linux"]),
  module(
    .daemon, "Daemon",
    [
      "Records", "Scheduling", "PluginKit", "DaemonAPI", "IPAM", "Libcni", "CNI", "HTTP",
      "Netlink", "JSON", "Linux", "Addresses",
    ]),
  program(
    "cnid",
    [
      "Daemon", "Records", "DaemonAPI", "DelegatePlugin", "MacvlanPlugin", "OVSPlugin",
      "VRouterPlugin", "PluginKit", "Linux",
    ]),

  .target(
    name: "FakeVRouter", dependencies: ["JSON", "Linux", "Addresses"],
    path: "Tests/Support/FakeAgent"),
  .executableTarget(
    name: "cnid-fake-agent", dependencies: ["FakeVRouter", "JSON", "Linux"],
    path: "Tests/FakeAgent"),
  .target(
    name: "TestSupport",
    dependencies: [
      "FakeVRouter", "JSON", "Linux", "Netlink", "Addresses", "CLinux",
    ],
    path: "Tests/Support", exclude: ["FakeAgent"]),
  // What a plugin's integration, kill and fault tests are made of.
  .target(
    name: "PluginBench", dependencies: ["TestSupport", "PluginKit", "JSON", "Linux"],
    path: "Tests/PluginBench"),
  // The plugin of PluginKit's documentation, and a daemon that has it.
  .target(
    name: "ExamplePlugin",
    dependencies: ["Workbench", "PluginKit", "CNI", "Netlink", "Addresses"],
    path: "Tests/Plugins/ExamplePlugin"),
  .executableTarget(
    name: "cnid-example",
    dependencies: ["Daemon", "DaemonAPI", "ExamplePlugin", "PluginKit", "Records", "Linux"],
    path: "Tests/ExampleDaemon"),
  .executableTarget(name: "cnid-bench", dependencies: ["Linux"], path: "Tests/Bench"),

  tests(.system, "AddressesTests", ["Addresses"]),
  tests(.system, "LinuxTests", ["Linux", "Addresses", "CLinux"]),
  tests(.protocols, "JSONTests", ["JSON"]),
  tests(.protocols, "HTTPTests", ["HTTP", "Linux", "Addresses"]),
  tests(.protocols, "NetlinkTests", ["Netlink", "JSON", "Linux", "CLinux", "Addresses"]),
  tests(.protocols, "OVSDBTests", ["OVSDB", "Linux", "Addresses", "JSON"]),
  tests(
    .protocols, "VRouterAgentTests",
    ["VRouterAgent", "JSON", "Linux", "Addresses", "FakeVRouter"]),
  tests(.cni, "CNITests", ["CNI", "JSON", "Addresses"]),
  tests(.cni, "DaemonAPITests", ["DaemonAPI", "HTTP", "JSON", "CNI", "Linux"]),
  tests(.cni, "LibcniTests", ["Libcni", "CNI", "JSON", "Linux"]),
  tests(.cni, "IPAMTests", ["IPAM", "CNI", "JSON", "Linux", "Addresses"]),
  tests(.shim, "ShimCoreTests", ["ShimCore", "DaemonAPI", "CNI", "JSON", "Linux", "CLinux"]),
  tests(
    .plugins, "PluginKitTests",
    [
      "ExamplePlugin", "PluginKit", "DaemonAPI", "CNI", "Netlink", "JSON", "Linux", "Addresses",
    ]),
  tests(
    .plugins, "WorkbenchTests",
    ["Workbench", "PluginKit", "CNI", "Netlink", "JSON", "Linux", "Addresses"]),
  tests(.plugins, "PluginBenchTests", ["PluginBench", "ExamplePlugin", "JSON"]),
  tests(
    .plugins, "MacvlanPluginTests",
    [
      "MacvlanPlugin", "PluginKit", "DaemonAPI", "CNI", "Netlink", "JSON", "Linux", "Addresses",
    ]),
  tests(.plugins, "DelegatePluginTests", ["DelegatePlugin", "PluginKit", "Libcni", "CNI", "JSON"]),
  tests(.plugins, "OVSPluginTests", ["OVSPlugin", "OVSDB", "CNI", "JSON", "Linux", "Addresses"]),
  tests(
    .plugins, "VRouterPluginTests",
    [
      "VRouterPlugin", "VRouterAgent", "PluginKit", "DaemonAPI", "CNI", "JSON", "Linux",
      "Addresses", "FakeVRouter",
    ]),
  tests(.daemon, "SchedulingTests", ["Scheduling", "PluginKit", "CNI", "Netlink", "Linux"]),
  tests(
    .daemon, "RecordsTests", ["Records", "PluginKit", "DaemonAPI", "CNI", "JSON", "Linux"]),
  tests(
    .daemon, "DaemonTests",
    [
      "Daemon", "Records", "Scheduling", "PluginKit", "DaemonAPI", "Libcni", "CNI", "HTTP",
      "Netlink", "JSON", "Linux", "Addresses", "CLinux",
    ]),
  tests(
    nil, "IntegrationTests",
    [
      "PluginBench", "DelegatePlugin", "MacvlanPlugin", "OVSPlugin", "VRouterPlugin", "Records",
      "PluginKit",
      "DaemonAPI", "CNI", "HTTP", "JSON", "Linux", "Netlink", "Addresses", "FakeVRouter",
    ]),
]

let package = Package(
  name: "cnid",
  products: [.executable(name: "cni-shim", targets: ["cni-shim"])],
  targets: shared
)

if !embedded {
  package.products += [
    .executable(name: "cnid", targets: ["cnid"]),
    .executable(name: "cnid-bench", targets: ["cnid-bench"]),
  ]
  package.targets += ordinary
}

// Functions of libc that only the shim replaces.
if embedded {
  for target in package.targets where target.name == "CLinux" {
    target.cSettings = [.define("CNI_EMBEDDED")]
  }
}

// One place for every target's settings.
for target in package.targets where target.name != "CLinux" {
  target.swiftSettings = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
  ]
  if embedded { target.swiftSettings?.append(.enableExperimentalFeature("Embedded")) }
}
