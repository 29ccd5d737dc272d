import Foundation

extension Program {
  /// A program that is built with the tests and lies beside their bundle.
  public static func ofTests(_ name: String) -> String {
    let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let bundle = ([own ?? ""] + CommandLine.arguments).first { $0.hasSuffix(".xctest") }
    guard let bundle else { return "\(packageDirectory)/.build/debug/\(name)" }
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().path + "/" + name
  }
}
