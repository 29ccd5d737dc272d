import CNI
import DaemonAPI
import HTTP
import Linux
import Testing

@Suite("Request headers")
struct HeaderTests {
  @Test("What was written is read as it was, whatever the case of the names")
  func roundTrip() throws {
    let headers = RequestHeaders(requestID: try RequestID.random(), stamp: .now, timeLeft: 98_765)
    var written = HTTPHeaders([("Host", "dummy")])
    headers.append(to: &written)
    #expect(
      written.fields.map(\.name) == [
        "Host", "X-Cnid-Request-Id", "X-Cnid-Stamp", "X-Cnid-Time-Left",
      ])
    #expect(RequestHeaders(written) == headers)
    let lower = HTTPHeaders(written.fields.map { ($0.name.lowercased(), $0.value) })
    #expect(RequestHeaders(lower) == headers)
  }

  @Test("Absent headers are nil")
  func absent() {
    #expect(RequestHeaders(HTTPHeaders([("Host", "dummy")])) == RequestHeaders())
    var written = HTTPHeaders()
    RequestHeaders().append(to: &written)
    #expect(written.fields.isEmpty)
  }

  @Test(
    "An ill-formed header counts as absent",
    arguments: [
      ("X-Cnid-Request-Id", ""), ("X-Cnid-Request-Id", "a b"), ("X-Cnid-Request-Id", "a/b"),
      ("X-Cnid-Request-Id", "é"), ("X-Cnid-Request-Id", String(repeating: "a", count: 65)),
      ("X-Cnid-Stamp", "x"), ("X-Cnid-Stamp", ":1"), ("X-Cnid-Stamp", "a:"),
      ("X-Cnid-Time-Left", ""), ("X-Cnid-Time-Left", "-1"), ("X-Cnid-Time-Left", "+1"),
      ("X-Cnid-Time-Left", "1.5"), ("X-Cnid-Time-Left", "99999999999999999999"),
      ("X-Cnid-Time-Left", "١"),
    ])
  func illFormed(name: String, value: String) {
    #expect(RequestHeaders(HTTPHeaders([(name, value)])) == RequestHeaders())
  }

  @Test("Other clients' ids are taken too")
  func otherIDs() {
    for id in [
      "6f1c1a2e-0000-4a3b-9c1d-aabbccddeeff", "A_1.b-2", String(repeating: "a", count: 64),
    ] {
      #expect(RequestHeaders(HTTPHeaders([("X-Cnid-Request-Id", id)])).requestID == id)
    }
  }

  @Test("Ids are 32 hexadecimal digits and never twice the same")
  func randomIDs() throws {
    var seen: Set<String> = []
    for _ in 0..<1000 {
      let id = try RequestID.random()
      #expect(id.utf8.count == 32 && RequestID.isValid(id))
      #expect(id.allSatisfy { "0123456789abcdef".contains($0) })
      seen.insert(id)
    }
    #expect(seen.count == 1000)
  }
}

@Suite("Stamp")
struct StampTests {
  @Test("A stamp is this boot's id and a clock that only goes forward")
  func now() throws {
    let first = Stamp.now, second = Stamp(bootID: first.bootID)
    #expect(first.bootID == (try Boot.id()))
    #expect(first.bootID.utf8.count == 36)
    #expect(second.isOlder(than: first) == false)
    #expect(Stamp(first.description) == first)
  }

  @Test("Stamps are ordered within a boot and not across boots")
  func order() {
    let old = Stamp(bootID: "a", nanoseconds: 1), young = Stamp(bootID: "a", nanoseconds: 2)
    #expect(old.isOlder(than: young) == true)
    #expect(young.isOlder(than: old) == false)
    #expect(old.isOlder(than: old) == false)
    #expect(Stamp(bootID: "b", nanoseconds: 1).isOlder(than: young) == nil)
  }

  @Test(
    "A stamp's text is read",
    arguments: [
      ("a:0", "a", 0), ("0f-Z:18446744073709551615", "0f-Z", .max), ("a:007", "a", 7),
    ] as [(String, String, UInt64)])
  func read(text: String, bootID: String, nanoseconds: UInt64) {
    #expect(Stamp(text) == Stamp(bootID: bootID, nanoseconds: nanoseconds))
  }

  @Test(
    "Any other text is no stamp",
    arguments: [
      "", ":", "a", "a:", ":1", "a:1:2", "a: 1", " a:1", "a:+1", "a:-1", "a:0x1", "a:1 ", "a_b:1",
      "a:18446744073709551616", "é:1", "a:١", String(repeating: "a", count: 65) + ":1",
    ])
  func refused(text: String) {
    #expect(Stamp(text) == nil)
  }
}

@Suite("Endpoints")
struct EndpointTests {
  @Test("The paths are those of the systems that the daemon stands in for")
  func paths() {
    #expect(
      Endpoint.allCases.map(\.path)
        == ["/cni", "/delegate", "/", "/healthz", "/readyz", "/metrics"])
    #expect(Endpoint.cni.url == "http://dummy/cni")
    #expect(Endpoint(rawValue: "/nope") == nil)
  }

  @Test(
    "The socket's path is joined as a path",
    arguments: [
      ("/run/cnid", "/run/cnid/cnid.sock"), ("/run/multus/", "/run/multus/cnid.sock"),
      ("/x///", "/x/cnid.sock"), ("/", "/cnid.sock"), ("", "cnid.sock"), ("rel", "rel/cnid.sock"),
    ])
  func socket(directory: String, path: String) {
    #expect(socketPath(directory: directory) == path)
  }

  @Test("The default socket is /run/cnid/cnid.sock")
  func defaultSocket() {
    #expect(socketPath() == "/run/cnid/cnid.sock")
  }
}
