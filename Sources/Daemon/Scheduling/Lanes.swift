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

  /// How many places a lane has for itself.
  func places(_ lane: Job.Lane) -> Int {
    lane == .clients ? maximumConcurrent : max(1, maximumConcurrent / 4)
  }

  /// Whether one more may run.
  func hasPlace(_ lane: Job.Lane) -> Bool {
    let now = self[lane]
    switch lane {
    // Bounded when they are taken on.
    case .clients: return sharedPlacesTaken < places(.clients)
    case .deletes: return now.placesTaken < places(lane) || sharedPlacesTaken < places(.clients)
    // Nobody bounds these, and each has a thread.
    case .reading, .background, .spooled:
      return now.placesTaken < places(lane) && now.running < 4 * max(1, maximumConcurrent)
    }
  }

  /// Of the places of all clients' calls; DELs beyond their own places use these.
  private var sharedPlacesTaken: Int {
    self[.clients].placesTaken + max(0, self[.deletes].placesTaken - places(.deletes))
  }

  /// How many calls of clients have been taken on and are not over.
  var clientsCalls: Int {
    [Job.Lane.clients, .deletes].reduce(0) { $0 + self[$1].running + self[$1].waiting }
  }

  /// Whether something waits that has a place.
  var haveWork: Bool { Job.Lane.allCases.contains { self[$0].waiting > 0 && hasPlace($0) } }

  /// How many threads are of use now.
  var threads: Int {
    Job.Lane.allCases.reduce(0) { sum, lane in
      let now = self[lane]
      let wanted =
        lane == .clients ? places(lane) : min(now.placesTaken + now.waiting, places(lane))
      // Those who come back from outside may be more than there are places.
      return sum + max(wanted, now.placesTaken) + now.outside
    }
  }
}
