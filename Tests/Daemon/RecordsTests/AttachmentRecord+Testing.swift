import CNI
import Linux
import PluginKit

extension AttachmentRecord {
  /// A record in phase `adding`.
  init(
    network: String = "net", container: String, ifName: String = "eth0",
    plugin: String = "recorder", boot: String = Stamp.now.bootID
  ) {
    self.init(
      key: AttachmentKey(
        network: network, containerID: container, ifName: ifName, plugin: plugin),
      configuration: Array(#"{"name":"\#(network)"}"#.utf8), environment: [:], origin: "cni",
      requestID: "", stamp: Stamp(bootID: boot))
  }
}
