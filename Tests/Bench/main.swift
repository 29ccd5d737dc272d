import Glibc
import Linux

// Measures ADD/DEL pairs of CNI plugins against each other; scripts/bench prepares the node and
// calls it.

/// Our macvlan against the reference's.
func compareWithReference() throws -> Bool {
  let arguments = CommandLine.arguments
  guard arguments.count == 10, let pairs = Int(arguments[1]), let daemon = Int32(arguments[2])
  else {
    throw Failure(
      text: "cnid-bench PAIRS DAEMON-PID SHIM CONFIG NETNS REFERENCE CONFIG NETNS LIMIT")
  }
  let ours = Contender(
    label: "cni-shim + cnid", program: arguments[3], configuration: try Files.read(arguments[4]),
    netns: arguments[5], pluginPath: "/usr/lib/cni", helper: daemon)
  let reference = Contender(
    label: "macvlan + host-local", program: arguments[6],
    configuration: try Files.read(arguments[7]), netns: arguments[8], pluginPath: "/usr/lib/cni",
    helper: 0)

  var (a, b) = (ours, reference)
  for number in 0..<5 {
    try a.pair(number, settle: 40)
    try b.pair(number, settle: 40)
  }
  (a, b) = (ours, reference)
  for number in 0..<pairs {
    try a.pair(number, settle: 40)
    try b.pair(number, settle: 40)
  }
  report("\(pairs) pairs each, in turn", [a, b])
  let wall = ratio(percentile(a.pairs, 50), percentile(b.pairs, 50))
  let processor = ratio(a.nanosecondsOfCPU, b.nanosecondsOfCPU)

  // Without a pause for what is done after the answer.
  var (c, d) = (ours, reference)
  for round in 0..<4 {
    for number in 0..<pairs / 4 { try c.pair(round * pairs + number, settle: 0) }
    Clock.pause(milliseconds: 100)
    for number in 0..<pairs / 4 { try d.pair(round * pairs + number, settle: 0) }
  }
  report("\(pairs / 4 * 4) pairs each, \(pairs / 4) in a row", [c, d])
  let inARow = ratio(percentile(c.pairs, 50), percentile(d.pairs, 50))

  let limit = Double(arguments[9]) ?? 0.25
  let good = wall <= limit && processor <= limit
  print("\nratio to the reference: time \(wall), CPU \(processor); time in a row \(inARow)")
  print(good ? "within the limit of \(limit)" : "ABOVE the limit of \(limit)")
  return good
}

/// A set of three networks that cnid attaches by itself against one network, and against a set of
/// three whose programs it executes.
func compareSets() throws -> Bool {
  let arguments = CommandLine.arguments
  guard arguments.count == 9, let pairs = Int(arguments[2]), let daemon = Int32(arguments[3]) else {
    throw Failure(
      text: "cnid-bench sets PAIRS DAEMON-PID SHIM DIRECTORY-OF-CONFIGS NETNS LIMIT PROGRAMS")
  }
  func contender(_ label: String, _ file: String) throws -> Contender {
    Contender(
      label: label, program: arguments[4],
      configuration: try Files.read("\(arguments[5])/\(file)"), netns: arguments[6],
      pluginPath: arguments[8], helper: daemon)
  }
  let all = [
    try contender("one network", "one.conf"), try contender("three, in process", "three.conf"),
    try contender("three, executed", "executed.conf"),
  ]
  var measured = all
  for number in -5..<pairs {
    // The first ones only warm up.
    if number == 0 { measured = all }
    for index in measured.indices { try measured[index].pair(number + 5, settle: 40) }
  }
  report("\(pairs) pairs of sets each, in turn", measured)
  let times = measured.map { percentile($0.pairs, 50) }
  let processor = measured.map(\.nanosecondsOfCPU)
  let limit = Double(arguments[7]) ?? 2.2
  let toOne = ratio(times[1], times[0])
  print(
    "\nthree to one: time \(toOne), CPU \(ratio(processor[1], processor[0])); "
      + "to three executed: time \(ratio(times[1], times[2])), "
      + "CPU \(ratio(processor[1], processor[2]))")
  print(toOne <= limit ? "within the limit of \(limit)" : "ABOVE the limit of \(limit)")
  return toOne <= limit
}

do {
  let isOfSets = CommandLine.arguments.dropFirst().first == "sets"
  let isGood = isOfSets ? try compareSets() : try compareWithReference()
  exit(isGood ? 0 : 1)
} catch {
  print("bench: \(error)")
  exit(2)
}
