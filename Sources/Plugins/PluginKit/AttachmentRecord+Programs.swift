extension AttachmentRecord {
  /// Types of address management that run no program.
  package static let builtInLeases: Set<String> = ["host-local", "static", "pod-cidr"]

  /// Whether its plan has something for which programs on disk are run.
  package var runsPrograms: Bool {
    planned("lease").contains { !Self.builtInLeases.contains($0.string("type") ?? "") }
      || executedParts > 0
  }

  /// How many parts of a set programs on disk attach.
  package var executedParts: Int { planned(PlannedPart.self).count { $0.isExecuted } }
}
