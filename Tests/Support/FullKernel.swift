public import Testing

extension Trait where Self == ConditionTrait {
  /// Runs a test only on a kernel that has everything (`scripts/test --kernel`).
  ///
  /// - Parameter modules: what this machine's kernel may lack.
  /// - Returns: the condition.
  public static func fullKernel(_ modules: Comment) -> Self {
    .enabled(if: Program.hasFullKernel, modules)
  }
}
