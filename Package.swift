// swift-tools-version: 6.2
import PackageDescription

// CNI_EMBEDDED=1 builds the shim and the modules below it in Embedded Swift (scripts/build).
// Without it everything is ordinary Swift, so tests can import every module.
let embedded = Context.environment["CNI_EMBEDDED"] == "1"

let package = Package(
  name: "cnid",
  products: [
    .executable(name: "cni-shim", targets: ["cni-shim"])
  ],
  targets: [
    // Written in the Embedded subset: shim and daemon share them.
    .target(name: "CLinux"),
    .target(name: "Addresses"),
    .target(name: "JSON"),
    .target(name: "Linux", dependencies: ["CLinux", "Addresses"]),
    .target(name: "HTTP", dependencies: ["Linux", "Addresses"]),
    .target(name: "CNI", dependencies: ["JSON", "Addresses"]),
    .target(name: "DaemonAPI", dependencies: ["CNI", "HTTP", "JSON", "Linux"]),
    .target(name: "ShimCore", dependencies: ["DaemonAPI", "CNI", "HTTP", "JSON", "Linux"]),
    .executableTarget(name: "cni-shim", dependencies: ["ShimCore", "Linux"]),
  ]
)

if !embedded {
  package.products.append(.executable(name: "cnid", targets: ["cnid"]))
  package.products.append(.executable(name: "cnid-bench", targets: ["cnid-bench"]))
  package.targets += [
    .target(name: "Netlink", dependencies: ["Linux", "Addresses", "CLinux"]),
    .target(name: "OVSDB", dependencies: ["Linux", "Addresses", "JSON"]),
    .target(name: "Runtime", dependencies: ["CNI", "JSON", "Linux"]),
    .target(
      name: "PluginKit",
      dependencies: ["DaemonAPI", "CNI", "Netlink", "JSON", "Linux", "Addresses"]),
    .target(
      name: "IPAM", dependencies: ["Runtime", "CNI", "JSON", "Linux", "Addresses"]),
    .target(
      name: "PodLinks",
      dependencies: ["PluginKit", "IPAM", "CNI", "Netlink", "Linux", "Addresses"]),
    .target(
      name: "MacvlanPlugin",
      dependencies: [
        "PodLinks", "PluginKit", "IPAM", "CNI", "Netlink", "JSON", "Linux", "Addresses",
      ]),
    .target(
      name: "OVSPlugin",
      dependencies: [
        "PodLinks", "PluginKit", "OVSDB", "IPAM", "CNI", "Netlink", "JSON", "Linux", "Addresses",
      ]),
    .target(name: "VRouterAgent", dependencies: ["HTTP", "JSON", "Linux", "Addresses"]),
    .target(
      name: "VRouterPlugin",
      dependencies: [
        "PodLinks", "PluginKit", "VRouterAgent", "CNI", "DaemonAPI", "HTTP", "Netlink", "JSON",
        "Linux", "Addresses",
      ]),
    .target(
      name: "Daemon",
      dependencies: [
        "PluginKit", "DaemonAPI", "CNI", "HTTP", "Netlink", "JSON", "Linux", "Addresses",
      ]),
    .executableTarget(
      name: "cnid",
      dependencies: [
        "Daemon", "DaemonAPI", "MacvlanPlugin", "OVSPlugin", "VRouterPlugin", "PluginKit", "Linux",
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
        "FakeVRouter", "CNI", "DaemonAPI", "HTTP", "JSON", "Linux", "Netlink", "Addresses",
        "CLinux",
      ],
      path: "Tests/Support", exclude: ["FakeAgent"]),
    .executableTarget(name: "cnid-bench", dependencies: ["Linux"], path: "Tests/Bench"),
    .testTarget(name: "AddressesTests", dependencies: ["Addresses", "TestSupport"]),
    .testTarget(name: "JSONTests", dependencies: ["JSON", "TestSupport"]),
    .testTarget(name: "LinuxTests", dependencies: ["Linux", "CLinux", "TestSupport"]),
    .testTarget(name: "HTTPTests", dependencies: ["HTTP", "Linux", "Addresses", "TestSupport"]),
    .testTarget(name: "CNITests", dependencies: ["CNI", "JSON", "Addresses", "TestSupport"]),
    .testTarget(
      name: "NetlinkTests",
      dependencies: ["Netlink", "JSON", "Linux", "CLinux", "Addresses", "TestSupport"]),
    .testTarget(
      name: "OVSDBTests",
      dependencies: ["OVSDB", "Linux", "Addresses", "JSON", "TestSupport"]),
    .testTarget(
      name: "DaemonAPITests",
      dependencies: ["DaemonAPI", "HTTP", "JSON", "CNI", "Linux", "TestSupport"]),
    .testTarget(
      name: "ShimCoreTests",
      dependencies: [
        "ShimCore", "DaemonAPI", "CNI", "HTTP", "JSON", "Linux", "CLinux", "TestSupport",
      ]),
    .testTarget(
      name: "RuntimeTests", dependencies: ["Runtime", "CNI", "JSON", "Linux", "TestSupport"]),
    .testTarget(
      name: "PluginKitTests",
      dependencies: [
        "PluginKit", "DaemonAPI", "CNI", "Netlink", "JSON", "Linux", "Addresses", "TestSupport",
      ]),
    .testTarget(
      name: "IPAMTests",
      dependencies: [
        "IPAM", "PluginKit", "Runtime", "CNI", "JSON", "Linux", "Addresses", "TestSupport",
      ]),
    .testTarget(
      name: "MacvlanPluginTests",
      dependencies: [
        "MacvlanPlugin", "PluginKit", "IPAM", "CNI", "Netlink", "JSON", "Linux", "Addresses",
        "TestSupport",
      ]),
    .testTarget(
      name: "OVSPluginTests",
      dependencies: [
        "OVSPlugin", "OVSDB", "PluginKit", "CNI", "JSON", "Linux", "Addresses", "TestSupport",
      ]),
    .testTarget(
      name: "VRouterAgentTests",
      dependencies: [
        "VRouterAgent", "HTTP", "JSON", "Linux", "Addresses", "FakeVRouter", "TestSupport",
      ]),
    .testTarget(
      name: "VRouterPluginTests",
      dependencies: [
        "VRouterPlugin", "VRouterAgent", "PluginKit", "DaemonAPI", "CNI", "JSON", "Linux",
        "Addresses",
        "FakeVRouter", "TestSupport",
      ]),
    .testTarget(
      name: "DaemonTests",
      dependencies: [
        "Daemon", "PluginKit", "DaemonAPI", "CNI", "HTTP", "Netlink", "JSON", "Linux",
        "Addresses", "CLinux", "TestSupport",
      ]),
    .testTarget(
      name: "IntegrationTests",
      dependencies: [
        "MacvlanPlugin", "OVSPlugin", "VRouterPlugin", "DaemonAPI", "CNI", "HTTP", "JSON", "Linux",
        "Netlink", "Addresses", "FakeVRouter", "TestSupport",
      ]),
  ]
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
