import CNI
import Linux
import PluginKit

extension AttachmentRecord {
  /// A record in phase `adding`.
  init(
    network: String = "net", container: String, ifName: String = "eth0",
    plugin: String = "recorder", place: String = "", boot: String = Stamp.now.bootID,
    nanoseconds: UInt64 = KernelClock.boot
  ) {
    self.init(
      key: AttachmentKey(
        network: network, containerID: container, ifName: ifName, plugin: plugin, place: place),
      configuration: Array(#"{"name":"\#(network)"}"#.utf8), environment: [:], origin: "cni",
      requestID: "", stamp: Stamp(bootID: boot, nanoseconds: nanoseconds))
  }
}
