package import JSON

/// A CNI call on its way to the daemon: the variables and the exact bytes of the configuration.
///
/// Counterpart of `Request` of Multus' server api and, without the attributes, of OVN-Kubernetes'
/// cniserver. As JSON: `{"env":{…},"config":"<base64>","interfaceAttributes":{…}}`, each member
/// left out when empty.
package struct Request: Sendable, Equatable {
  /// The variables, `CNI_COMMAND` and so on.
  package var env: [String: String]
  /// The configuration as it came on stdin.
  package var config: [UInt8]
  /// What a hot-plug asks beyond the configuration; only looked at on `/delegate`.
  package var interfaceAttributes: DelegateInterfaceAttributes?

  package init(
    env: [String: String], config: [UInt8],
    interfaceAttributes: DelegateInterfaceAttributes? = nil
  ) {
    self.env = env
    self.config = config
    self.interfaceAttributes = interfaceAttributes
  }
}

/// What a hot-plug of one network asks beyond the network's configuration.
///
/// Counterpart of `DelegateInterfaceAttributes` of Multus' server api.
package struct DelegateInterfaceAttributes: Sendable, Equatable {
  /// Addresses that are asked for; `ips`.
  package var ips: [String]
  /// The hardware address that is asked for, or empty; `mac`.
  package var mac: String
  /// Arguments for the plugin; `cni-args`, which is always present, as `null` when there are none.
  package var cniArgs: JSONObject?

  package init(ips: [String] = [], mac: String = "", cniArgs: JSONObject? = nil) {
    self.ips = ips
    self.mac = mac
    self.cniArgs = cniArgs
  }
}

extension Request {
  /// Creates the request that hot-plugs one network into a running pod, for ``Endpoint/delegate``.
  ///
  /// Counterpart of `CreateDelegateRequest` of Multus' server api.
  ///
  /// - Parameters:
  ///   - command: ADD, DEL, CHECK or STATUS, in any case.
  ///   - containerID: the sandbox's id.
  ///   - netns: the path of its network namespace.
  ///   - ifName: the interface to make in it.
  ///   - podNamespace: the pod's namespace in Kubernetes.
  ///   - podName: the pod's name.
  ///   - podUID: the pod's uid.
  ///   - config: the whole configuration of the network.
  ///   - interfaceAttributes: what is asked beyond it.
  /// - Returns: the request.
  package static func createDelegateRequest(
    command: String, containerID: String, netns: String, ifName: String, podNamespace: String,
    podName: String, podUID: String, config: [UInt8],
    interfaceAttributes: DelegateInterfaceAttributes? = nil
  ) -> Request {
    let upper = command.utf8.map { 0x61...0x7A ~= $0 ? $0 - 0x20 : $0 }
    return Request(
      env: [
        "CNI_COMMAND": String(decoding: upper, as: UTF8.self),
        "CNI_CONTAINERID": containerID,
        "CNI_NETNS": netns,
        "CNI_IFNAME": ifName,
        "CNI_ARGS": "K8S_POD_NAMESPACE=\(podNamespace);K8S_POD_NAME=\(podName)"
          + ";K8S_POD_UID=\(podUID)",
      ],
      config: config, interfaceAttributes: interfaceAttributes)
  }
}
