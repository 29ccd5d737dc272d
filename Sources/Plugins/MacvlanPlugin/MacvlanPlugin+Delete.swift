package import CNI
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Removes the link, if it is the attachment's, and gives its addresses back.
  ///
  /// The parent is never looked at. Also the undo of a failed ADD, from whatever state that left.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let addresses = call.mayHaveLease ? addressing(call.request, call.host) : Addressing()
    try addresses.giveBack(call.journal) { () throws(CNIError) in
      try call.journal.perform(.deleteLink) { permit throws(CNIError) in
        try call.removePodLink(ownedBy: ownership(call), permit)
      }
    }
  }

  /// Without a record, a link that nobody marked was created by the reference plugin.
  func ownership(_ call: PluginCall<Step>) -> LinkOwnership {
    LinkOwnership(of: call, kind: Self.kind, unrecorded: .reference)
  }
}
