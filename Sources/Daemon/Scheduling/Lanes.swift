/// How many calls of each lane wait, run, and are outside.
struct Lanes: Sendable {
  struct Figures: Sendable {
    var waiting = 0
    var running = 0
    /// Of those that run: how many wait for somebody outside, and have no place meanwhile.
    var outside = 0

    var placesTaken: Int { running - outside }
  }

  /// How many calls of clients run at once.
  var maximumConcurrent: Int
  private var figures: [Job.Lane: Figures] = [:]

  init(maximumConcurrent: Int) { self.maximumConcurrent = maximumConcurrent }

  subscript(lane: Job.Lane) -> Figures {
    get { figures[lane, default: Figures()] }
    set { figures[lane] = newValue }
  }

  /// How many may have a place at once.
  func places(_ lane: Job.Lane) -> Int {
    lane == .clients ? maximumConcurrent : max(1, maximumConcurrent / 4)
  }

  /// Whether one more may run.
  func hasPlace(_ lane: Job.Lane) -> Bool {
    let now = self[lane]
    if now.placesTaken >= places(lane) { return false }
    // Clients' calls are bounded when they are taken on. Nobody bounds the others, and each has a
    // thread.
    return lane == .clients || now.running < 4 * max(1, maximumConcurrent)
  }

  /// Whether something waits that has a place.
  var haveWork: Bool { Job.Lane.allCases.contains { self[$0].waiting > 0 && hasPlace($0) } }

  /// How many threads are of use now.
  var threads: Int {
    Job.Lane.allCases.reduce(0) { sum, lane in
      let now = self[lane]
      let inside =
        lane == .clients ? places(lane) : min(now.placesTaken + now.waiting, places(lane))
      return sum + inside + now.outside
    }
  }
}
