import FakeVRouter
import Glibc
import JSON
import Linux

// Stands in for a node's vRouter agent in scripts/demo: it knows the pods of a file and prints
// what it is asked.
//
//   cnid-fake-agent --port NUMBER --port-files DIRECTORY PODS.json
//
// PODS.json: {"visible-delay": MILLISECONDS, "configuration-after": MILLISECONDS, "pods": [{"name":
// "cluster__namespace__pod", "uuid": UUID, "interfaces": [{"id", "network", "mac", "address",
// "prefix-length", "gateway", "name-server": texts, "annotations": ["{key:value}"]}]}]}. The agent
// knows of the pods only `configuration-after` its start. It ends with SIGTERM and prints what
// stays subscribed.

struct Failure: Error, CustomStringConvertible {
  let description: String
}

/// The words of the command line.
struct Words {
  var port: UInt16 = 9091
  var portFiles: String?
  var pods = ""

  init(_ words: [String]) throws {
    var rest = words.dropFirst()
    while let word = rest.popFirst() {
      switch word {
      case "--port":
        guard let number = rest.popFirst().flatMap({ UInt16($0) }) else {
          throw Failure(description: "--port needs a number")
        }
        port = number
      case "--port-files": portFiles = rest.popFirst()
      default: pods = word
      }
    }
    if pods.isEmpty { throw Failure(description: "no file of pods") }
  }
}

extension AgentInterface {
  init(_ value: JSONValue) throws {
    func text(_ key: String) throws -> String {
      guard let text = value[key]?.string else { throw Failure(description: "\(key) is missing") }
      return text
    }
    self.init(
      id: try text("id"), network: try text("network"), mac: try text("mac"),
      annotations: value["annotations"]?.array?.compactMap(\.string),
      ipv4: Address(
        try text("address"), value["prefix-length"]?.int ?? 24, gateway: try text("gateway"),
        nameServer: try text("name-server")))
  }
}

/// Prints a line at once.
func say(_ text: String) {
  try? Descriptor.writeAll(1, Array("\(text)\n".utf8), deadline: .after(seconds: 5))
}

func run() throws {
  let words = try Words(CommandLine.arguments)
  let file = try JSONValue.parse(try Files.read(words.pods))
  let agent = FakeAgent(port: words.port, portFiles: words.portFiles)
  for pod in file["pods"]?.array ?? [] {
    guard let name = pod["name"]?.string, let uuid = pod["uuid"]?.string else {
      throw Failure(description: "a pod without name or uuid")
    }
    let interfaces = try (pod["interfaces"]?.array ?? []).map { try AgentInterface($0) }
    agent.change { $0.configure(name, uuid: uuid, interfaces) }
  }
  agent.change { $0.visibleDelay = file["visible-delay"]?.int ?? 0 }
  let signals = try SignalDescriptor([.terminate, .interrupt])
  try agent.start(configurationAfter: file["configuration-after"]?.int ?? 0)
  say("listening at port \(agent.port)")
  var shown = 0
  while true {
    let deadline = Deadline.after(milliseconds: 50)
    let isOver = (try? deadline.wait(signals.descriptor.rawValue, for: .read, "wait")) != nil
    let requests = agent.requests
    while shown < requests.count, isOver || requests[shown].status != nil {
      let request = requests[shown]
      say("\(request.line) -> \(request.status.map { "\($0)" } ?? "no answer")")
      shown += 1
    }
    if isOver { break }
  }
  say("subscribed: \(agent.subscriptions.map(\.description).joined(separator: " "))")
  for violation in agent.violations { say("violation: \(violation)") }
}

do {
  try run()
} catch {
  say("cnid-fake-agent: \(error)")
  exit(1)
}
