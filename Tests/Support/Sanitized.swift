public import Testing

extension Trait where Self == ConditionTrait {
  /// Leaves a test out when tests and programs are built with a sanitizer: what it looks at is not
  /// that of the programs that are shipped.
  ///
  /// - Parameter reason: what differs, such as the memory that is used.
  /// - Returns: the condition.
  public static func shippedPrograms(_ reason: Comment) -> Self {
    .disabled(if: Program.sanitizer != nil, reason)
  }
}
