import JSON
import OVSDB
import TestSupport
import Testing

private let uuid = "00000000-0000-0000-0000-000000000001"

private let tokens = [
  "{", "}", "[", "]", "\"", "\\", ",", ":", "null", "1e999", "-1", "\"set\"", "\"map\"",
  "[\"set\",[",
  "[\"uuid\",\"\(uuid)\"]", "\"id\":", "\"method\":\"update2\"", "\"error\":",
  "18446744073709551616",
  "\"modify\":{", "\"insert\":{", "\"delete\":null", "{\"T\":{", "9223372036854775807",
].map { Array($0.utf8) }

private let updates = [
  #"{"T":{"\#(uuid)":{"insert":{"name":"x","ids":["map",[["a","b"]]],"some":["set",[1,2]]}}}}"#,
  #"{"T":{"\#(uuid)":{"modify":{"tag":5,"some":["set",[1,3]],"ids":["map",[["a","b"],["c","d"]]]}}}}"#,
  #"{"T":{"\#(uuid)":{"delete":null}}}"#,
  #"{"T":{"\#(uuid)":{"old":{"name":"x"},"new":{"name":"y","tag":["set",[]]}}}}"#,
].map { Array($0.utf8) }

private let messages =
  updates.map {
    Array(#"{"id":null,"method":"update2","params":[null,"#.utf8) + $0 + Array("]}".utf8)
  }
  + [
    #"{"id":7,"error":null,"result":[{"uuid":["uuid","\#(uuid)"]},{"count":1},{"rows":[{"a":1}]}]}"#,
    #"{"id":7,"result":[{"error":"e","details":"d","syntax":"s"},null]}{"id":"echo","method":"echo","params":[]}"#,
    #"{"id":8,"error":"unknown method"} {"id":9,"method":"x","params":{}}"#,
  ].map { Array($0.utf8) }

@Suite("No bytes harm the client")
struct WireFuzzTests {
  @Test(
    "100 000 damaged streams are cut alike whole and in two pieces, their messages read or refused")
  func streams() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(100_000, corpus: messages, tokens: tokens).run { mutator in
        let input = mutator.next()
        let cut = mutator.number(below: input.count + 1)
        let whole = read([input[...]])
        let pieces = read([input[..<cut], input[cut...]])
        precondition(whole.messages == pieces.messages && whole.failure == pieces.failure)
        for message in whole.messages {
          guard case .answer(_, .result(let json))? = try? Message(message) else { continue }
          _ = try? OVSDBResult.outcome(json, operations: 3)
        }
        return true
      }
    }
  }

  @Test("100 000 damaged updates are taken over or refused")
  func replicas() async {
    await #expect(processExitsWith: .success) {
      let columns = ["name", "count", "tag", "ports", "some", "ids"]
      guard let schema = try? OVSDBSchema(exampleSchema) else { preconditionFailure("no schema") }
      let replica = OVSDBReplica(schema: schema, watching: ["T": columns])
      await Fuzz(100_000, corpus: updates, tokens: tokens).run((replica, 0)) { mutator, state in
        state.1 += 1
        if state.1 % 16 == 0 { state.0 = replica }
        guard let json = try? JSONValue.parse(mutator.next()) else { return false }
        try? state.0.apply(json, state.1 % 4 == 0 ? .rows : .differences)
        for (_, row) in state.0.rows("T") { precondition(row.count <= columns.count) }
        return true
      }
    }
  }

  @Test("20 000 damaged schemas are read or refused")
  func schemas() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(20_000, corpus: [exampleSchema.bytes], tokens: tokens).run { mutator in
        guard let json = try? JSONValue.parse(mutator.next()),
          let schema = try? OVSDBSchema(json)
        else { return false }
        let replica = OVSDBReplica(schema: schema, watching: ["T": ["name", "tag"]])
        precondition(replica.rows("T").isEmpty)
        return true
      }
    }
  }
}

/// What a splitter makes of pieces.
private func read(
  _ pieces: [ArraySlice<UInt8>]
) -> (messages: [[UInt8]], failure: MessageSplitter.Failure?) {
  var splitter = MessageSplitter(limit: 300)
  var messages: [[UInt8]] = []
  do throws(MessageSplitter.Failure) {
    for piece in pieces { try splitter.feed(piece, into: &messages) }
    return (messages, nil)
  } catch {
    return (messages, error)
  }
}
