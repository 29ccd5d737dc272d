/// Prometheus' own checker, `promtool check metrics`.
public enum PromTool {
  /// Where it is: `$CNI_PROMTOOL`, which scripts/test sets; nil if it is not.
  public static var path: String? { Program.environment["CNI_PROMTOOL"] }

  /// Has it look at a page.
  ///
  /// - Returns: status 0 and no words for a good page.
  public static func check(_ page: [UInt8]) async throws -> ProgramResult {
    guard let path else { throw TestError("CNI_PROMTOOL is not set") }
    return try await Program.run([path, "check", "metrics"], input: page)
  }
}
