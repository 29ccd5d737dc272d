/// The daemon's paths.
///
/// Counterpart of `MultusCNIAPIEndpoint`, `MultusDelegateAPIEndpoint` and `MultusHealthAPIEndpoint`
/// of Multus' server api, and of the single route of OVN-Kubernetes' cniserver.
package enum Endpoint: String, Sendable, CaseIterable {
  case cni = "/cni"
  /// Hot-plug of one network.
  case delegate = "/delegate"
  /// A CNI call in OVN-Kubernetes' form: the answer is the bare result.
  case ovn = "/"
  /// Whether the daemon lives.
  case healthz = "/healthz"
  /// Whether it takes every call.
  case readyz = "/readyz"
  /// Numbers for Prometheus.
  case metrics = "/metrics"

  /// The path, as it stands in the request line.
  package var path: String { rawValue }

  /// The URL for clients that want one: counterpart of Multus' `GetAPIEndpoint`.
  package var url: String { "http://dummy" + rawValue }
}

/// The directory of the daemon's socket unless the configuration names another.
package let defaultSocketDirectory = "/run/cnid"

/// The path of the daemon's socket in a directory: `cnid.sock`.
///
/// Counterpart of Multus' `SocketPath`.
package func socketPath(directory: String = defaultSocketDirectory) -> String {
  path(of: "cnid.sock", in: directory)
}

/// The path of something in a directory, which may end with slashes or be empty for
/// the current one.
func path(of name: String, in directory: String) -> String {
  var bytes = Array(directory.utf8)
  while bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
  if !directory.utf8.isEmpty { bytes.append(UInt8(ascii: "/")) }
  return String(decoding: bytes, as: UTF8.self) + name
}
