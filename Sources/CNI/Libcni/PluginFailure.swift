import CNI
import JSON
import Linux

/// Reading what a plugin said when it failed.
extension PluginExecutor {
  /// How much of a plugin's words goes into a one-line message.
  private static let messageBytes = 512
  /// How much goes into an error's details.
  private static let detailBytes = 4096

  /// The reason behind an exit status other than 0, with libcni's texts.
  ///
  /// - Parameters:
  ///   - status: how the program ended.
  ///   - output: its standard output, where the error object should be.
  ///   - errorOutput: the readable end of its standard error.
  /// - Returns: the reason.
  static func failure(
    _ status: ExitStatus, _ output: [UInt8], _ errorOutput: String
  ) -> PluginError.Reason {
    if output.allSatisfy({ [0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
      if errorOutput.isEmpty {
        return .failed("netplugin failed with no error message: \(text(of: status))")
      }
      return .failed("netplugin failed: \(oneLine(errorOutput))")
    }
    do throws(JSONError) {
      let value = try JSONValue.parse(output)
      if let error = CNIError(json: value) { return .refused(error) }
      return .failed("netplugin failed with no error message: \(text(of: status))")
    } catch {
      return .failed(
        "netplugin failed (\(text(of: status))) and printed no error: "
          + words(for: "no JSON: \(error)", about: output))
    }
  }

  /// The words for an end, `exit status 1` or `signal: killed`, as Go programs print them.
  static func text(of status: ExitStatus) -> String {
    switch status {
    case .exited(let number): "exit status \(number)"
    case .signalled(let number): "signal: \(signalNames[number] ?? "\(number)")"
    }
  }

  private static let signalNames: [Int32: String] = [
    1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 6: "aborted",
    7: "bus error", 8: "floating point exception", 9: "killed", 11: "segmentation fault",
    13: "broken pipe", 14: "alarm clock", 15: "terminated",
  ]

  /// Why what a program printed cannot be read, with its first bytes where it is no object; no
  /// more of them, since it might be the configuration.
  static func words(for reason: String, about output: [UInt8]) -> String {
    let limit = 32
    let isObject = output.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } == UInt8(ascii: "{")
    if output.isEmpty || isObject { return reason }
    let beginning = goQuoted(String(decoding: output.prefix(limit), as: UTF8.self))
    return "it begins \(beginning)\(output.count > limit ? "…" : ""): \(reason)"
  }

  /// The end of some bytes as text: repaired UTF-8, no control characters but line ends and tabs.
  static func readable(_ bytes: [UInt8]) -> String {
    let kept = bytes.suffix(detailBytes).filter { byte in
      (byte >= 0x20 && byte != 0x7F) || byte == 0x0A || byte == 0x09
    }
    let blank: Set<UInt8> = [0x20, 0x0A, 0x09]
    let rest = kept.drop { blank.contains($0) }
    let end = rest.lastIndex { !blank.contains($0) }
    return end.map { String(decoding: rest[...$0], as: UTF8.self) } ?? ""
  }

  /// The end of a text on one line, short enough for a message.
  private static func oneLine(_ text: String) -> String {
    let bytes = text.utf8.suffix(messageBytes).map { $0 == 0x0A || $0 == 0x09 ? 0x20 : $0 }
    return String(decoding: bytes.drop { $0 & 0xC0 == 0x80 }, as: UTF8.self)
  }
}
