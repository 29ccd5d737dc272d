package import CNI
import Linux
package import OVSDB
import PluginKit

/// What Open vSwitch's database said: code 101, or 105 when a wait was over. A lack of
/// descriptors is code 11.
extension OVSDBError: CNIMappable {
  package func cniError(code: CNIErrorCode?, doing message: String?) -> CNIError {
    if case .failed(let error) = self, error.errno.isExhaustion {
      return error.cniError(code: code, doing: message ?? description)
    }
    return CNIError(isWait ? .deadline : code ?? .openVSwitch, words, doing: message)
  }

  private var words: String {
    if case .unreachable = self { return description + "; is Open vSwitch running?" }
    return description
  }

  private var isWait: Bool {
    switch self {
    case .timedOut, .cancelled: true
    default: false
    }
  }

  /// Whether nobody has answered, which may pass.
  var isAbsence: Bool {
    switch self {
    case .unreachable, .interrupted, .timedOut: true
    default: false
    }
  }
}
