import Testing

/// A step of a plugin after which the daemon dies, and the call and the situation in which it is
/// reached.
package struct KillScenario: Sendable, CustomTestStringConvertible {
  /// The step's name without the plugin's.
  ///
  /// `record` is the place between the record and the first step. A step of a part of a set has its
  /// plugin's name, and the second time its number: `macvlan.createLink#2`.
  package let step: String
  /// The call during which the daemon dies.
  package let verb: BenchVerb
  /// The scene's situation.
  package let situation: String

  /// Creates one.
  package init(_ step: String, _ verb: BenchVerb, _ situation: String = "") {
    (self.step, self.verb, self.situation) = (step, verb, situation)
  }

  package var testDescription: String {
    "\(step) in \(verb.rawValue)" + (situation.isEmpty ? "" : ", \(situation)")
  }
}

/// What the runtime does when its daemon dies.
package enum RuntimeConduct: String, CaseIterable, Sendable {
  /// Its shim waits for the next daemon and sends the call again.
  case waits
  /// It gives the call up; nobody repeats it.
  case givesUp = "gives up"
}
