public import Testing

/// How many nodes live at a time: more would make the small ones slow without being
/// quicker together.
private let seats = Seats(6)

private actor Seats {
  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(_ count: Int) { free = count }

  func take() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  func giveBack() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }
}

private enum Current {
  @TaskLocal static var node: TestNode?
}

/// Creates a node, hands it to a test and takes it down again.
///
/// - Parameters:
///   - options: how the node is made.
///   - body: the test; its expectations stay in it.
/// - Returns: what `body` returned.
/// - Throws: what making the node or `body` threw; the daemon's log then stands with the error.
public func withTestNode<Value: Sendable>(
  _ options: TestNode.Options = TestNode.Options(),
  _ body: (TestNode) async throws -> Value
) async throws -> Value {
  await seats.take()
  do {
    let node = try await TestNode(options)
    let value = try await Current.$node.withValue(node) {
      do {
        return try await body(node)
      } catch {
        throw TestError("\(error)\ncnid's log:\n\(node.log)")
      }
    }
    try await node.kill()
    await seats.giveBack()
    return value
  } catch {
    await seats.giveBack()
    throw error
  }
}

extension Trait where Self == IssueHandlingTrait {
  /// Shows the daemon's log with every failed expectation inside `withTestNode`.
  public static var daemonLog: Self {
    .compactMapIssues { issue in
      guard let node = Current.node else { return issue }
      let comment: Comment = "cnid's log:\n\(node.log)"
      // The trait counts for the suite and for each of its tests: one log is enough.
      guard !issue.comments.contains(where: { $0.rawValue.hasPrefix("cnid's log:") }) else {
        return issue
      }
      var shown = issue
      shown.comments.append(comment)
      return shown
    }
  }
}
