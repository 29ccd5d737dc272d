import CLinux

/// The kernel's answer to a change: `NLMSG_ERROR`, or the end of a dump, `NLMSG_DONE`.
public struct Acknowledgement: Equatable, Sendable {
  /// The error number, 0 for success.
  public let errorNumber: Int32
  /// The kernel's own words about the error or, on success, a warning
  /// (`NLMSGERR_ATTR_MSG`); often empty.
  public let message: String

  /// Reads the answer to a request.
  ///
  /// Damaged words are left out: they must not hide the error number.
  ///
  /// - Parameter answer: a message of type `NLMSG_ERROR` or `NLMSG_DONE`.
  /// - Throws: `WireError.truncated` if not even the number is there.
  public init(_ answer: NetlinkMessage) throws(WireError) {
    var reader = ByteReader(answer.payload)
    let code = try reader.read(Int32.self)
    // The kernel sends -errno; magnitude, because negating Int32.min would trap.
    errorNumber = Int32(clamping: code.magnitude)
    var words: ArraySlice<UInt8> = []
    if answer.flags & NLM_F_ACK_TLVS != 0 {
      words =
        answer.type == Int(NLMSG_DONE)
        ? reader.rest : Acknowledgement.afterRequest(reader.rest, answer.flags)
    }
    message = Acknowledgement.text(words)
  }

  /// What follows the copy of the request, which is only its header when `NLM_F_CAPPED` is set.
  private static func afterRequest(
    _ bytes: ArraySlice<UInt8>, _ flags: Int32
  ) -> ArraySlice<UInt8> {
    guard let request = Kernel.load(nlmsghdr.self, from: bytes) else { return [] }
    let isCapped = flags & NLM_F_CAPPED != 0
    let length = isCapped ? MemoryLayout<nlmsghdr>.size : Int(request.nlmsg_len)
    return bytes.dropFirst(aligned(length))
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    var reader = AttributeReader(bytes)
    do {
      while let attribute = try reader.next() {
        if attribute.type == Int(NLMSGERR_ATTR_MSG.rawValue) { return attribute.text }
      }
    } catch {
      return ""
    }
    return ""
  }
}
