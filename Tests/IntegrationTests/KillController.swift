import Linux
import TestSupport

/// Says what ovn-controller says of a port when its flows are there; the tests with OVN
/// have the real one.
final class Controller: Sendable {
  private let task: Task<Void, any Error>

  init(_ here: OVSNode) {
    task = Task {
      while !Task.isCancelled {
        // One that fails is tried again: an ADD waits for it.
        for interface in (try? await here.ovs.records("Interface")) ?? [] {
          let ids = interface.map("external_ids")
          guard let name = interface.text("name"), ids["iface-id"] != nil,
            ids["ovn-installed"] == nil
          else { continue }
          _ = try? await here.ovs.vsctl(
            "--if-exists", "set", "Interface", name, "external_ids:ovn-installed=true")
        }
        await onThread { Clock.pause(milliseconds: 100) }
      }
    }
  }

  deinit { task.cancel() }
}
