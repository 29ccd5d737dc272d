@testable import Daemon
import Glibc
import JSON
import Linux
import PluginKit
import Records
import Testing
import TestSupport

/// Everything that has ever been taken for the end of a line, or steers a terminal.
private let hostile = [
  "a\nb", "a\r\nb", "a\rb", "a\u{0}b", "a\u{B}b", "a\u{C}b", "a\u{85}b", "a\u{2028}b",
  "a\u{2029}b", "a\u{1B}[2Jb", "a\u{7F}b", "a\u{9B}b", "a\u{202E}b", "a\u{2066}b", "a\u{200F}b",
  "a\n2026-01-01T00:00:00.000Z error forged", "a\" code=0 x=\"b", "a=b", "a b", "\\", "\\n", "\"",
]

@Suite("Log")
struct LogTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func log(
    _ format: Configuration.LogFormat = .text, level: LogLevel = .debug
  ) throws -> Log {
    var configuration = Configuration()
    configuration.logFile = directory("log")
    configuration.logFormat = format
    configuration.logLevel = level
    return try Log(configuration)
  }

  private func text() throws -> String {
    String(decoding: try Files.read(directory("log")), as: UTF8.self)
  }

  @Test("A pipe, or a device, as log file keeps the daemon from starting instead of hanging it")
  func pipe() throws {
    #expect(unsafe mkfifo(directory("pipe"), 0o600) == 0)
    // One that is being read, too.
    let reader = try Files.open(directory("pipe"), [.read, .nonBlocking])
    for path in [directory("pipe"), "/dev/null"] {
      var configuration = Configuration()
      configuration.logFile = path
      let error = #expect(throws: StartError.self) { _ = try Log(configuration) }
      #expect(
        error?.description == "logFile \(path): it is not a regular file; name another one")
    }
    withExtendedLifetime(reader) {}
  }

  @Test("a line is time, level, message and fields; empty fields are left out")
  func line() throws {
    try log().write(.warning, "failed", [("pod", "shop/web-0"), ("x", ""), ("ms", "7")])
    let line = try text()
    #expect(line.hasSuffix("Z warning failed pod=shop/web-0 ms=7\n"))
    #expect(line.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .*\n/) != nil)
  }

  @Test("a value with blanks, quotes or = is quoted so that nothing else can be read in it")
  func quoted() throws {
    try log().write(.info, "m", [("a", "b c"), ("d", #"e"f\g"#), ("h", "i=j"), ("k", "é☃")])
    #expect(try text().hasSuffix(#"m a="b c" d="e\"f\\g" h="i=j" k=é☃"# + "\n"))
  }

  @Test("a log that nobody reads keeps nobody waiting; what was lost is told when it is read again")
  func unread() async throws {
    let path = directory("log")
    #expect(unsafe mkfifo(path, 0o600) == 0)
    let reader = try Files.open(path, [.readWrite, .nonBlocking])
    let log = Log(Configuration(), to: try Files.open(path, [.readWrite, .nonBlocking]))
    let milliseconds = await onThread {
      let began = KernelClock.monotonic
      for _ in 0..<2000 { log.write(.info, "m", [("filler", String(repeating: "x", count: 100))]) }
      return (KernelClock.monotonic - began) / 1_000_000
    }
    #expect(milliseconds < 10_000 * UInt64(Program.patience))
    var bytes: [UInt8] = []
    while let count = try? Descriptor.read(reader.rawValue, into: &bytes), count > 0 {}
    log.write(.info, "next")
    while let count = try? Descriptor.read(reader.rawValue, into: &bytes), count > 0 {}
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    let note = try #require(lines.firstIndex { $0.hasSuffix("lines were lost, nobody read them)") })
    let lost = Int(lines[note].dropFirst().prefix { $0.isNumber })
    #expect(lost == 2000 - note)
    #expect(lines.last?.hasSuffix(" info next") == true)
  }

  @Test("no text from outside can make or forge a line", arguments: hostile)
  func forging(text: String) throws {
    try log().write(.info, text, [("field", text), ("last", "1")])
    let line = try self.text()
    let scalars = line.unicodeScalars
    #expect(scalars.filter { $0 == "\n" }.count == 1)
    #expect(line.hasSuffix(" last=1\n"))
    #expect(
      scalars.dropLast().allSatisfy { scalar in
        !scalar.properties.isDefaultIgnorableCodePoint
          && scalar.properties.generalCategory != .control
          && scalar.properties.generalCategory != .lineSeparator
          && scalar.properties.generalCategory != .paragraphSeparator
          && scalar.properties.generalCategory != .format
      })
    // Outside of quotes there are exactly the two fields.
    let value = try #require(line.wholeMatch(of: /.* field=("(?:[^"\\]|\\.)*"|[^ "=]*) last=1\n/))
    #expect(!value.1.isEmpty)
  }

  @Test(
    "a JSON line is one object with time, level, msg and the fields as they are", arguments: hostile
  )
  func json(text: String) throws {
    try log(.json).write(.error, text, [("field", text), ("empty", "")])
    let bytes = try Files.read(directory("log"))
    #expect(bytes.filter { $0 == 0x0A }.count == 1)
    #expect(bytes.last == 0x0A)
    let object = try #require(JSONValue.parse(Array(bytes.dropLast())).object)
    #expect(object.keys == ["time", "level", "msg", "field", "empty"])
    #expect(object["level"]?.string == "error")
    #expect(object["msg"]?.string == text)
    #expect(object["field"]?.string == text)
  }

  @Test("a number of JSON is a number, and a text of digits a text")
  func numbers() throws {
    try log(.json).write(
      .info, "m",
      [("a", 7), ("b", Milliseconds(nanoseconds: 1_234_567)), ("c", "7"), ("d", UInt64.max)])
    let text = try text()
    #expect(text.hasSuffix(#""a":7,"b":1.234,"c":"7","d":18446744073709551615}"# + "\n"))
  }

  @Test("a file that was moved away is made again at a reload; lines before it stay where they are")
  func reopened() throws {
    let log = try log()
    log.write(.info, "one")
    try Files.rename(directory("log"), directory("log.1"))
    log.write(.info, "two")
    log.reopen()
    log.write(.info, "three")
    #expect(try text().hasSuffix(" info three\n") && text().split(separator: "\n").count == 1)
    let old = String(decoding: try Files.read(directory("log.1")), as: UTF8.self)
    #expect(old.contains(" info one\n") && old.hasSuffix(" info two\n"))
  }

  @Test("a file that cannot be opened again is told in the old one")
  func notReopened() throws {
    let log = try log()
    try Files.rename(directory("log"), directory("log.1"))
    try Files.makeDirectory(directory("log"))
    log.reopen()
    let old = String(decoding: try Files.read(directory("log.1")), as: UTF8.self)
    #expect(old.contains(" error the log file cannot be opened again error="))
  }

  @Test("only the stream that JOURNAL_STREAM names is the journal")
  func journal() throws {
    let file = try Files.open(directory("stream"), [.write, .create])
    let status = try Files.status(file)
    let name = "\(status.device):\(status.inode)"
    #expect(Journal.isStream(file.rawValue, name))
    for other in ["", "\(status.device)", "\(status.device):\(status.inode + 1)", name + " "] {
      #expect(!Journal.isStream(file.rawValue, other))
    }
    // The descriptor is open still.
    #expect(try Files.status(file) == status)
  }

  @Test("lines below the level are left out", arguments: LogLevel.allCases)
  func levels(level: LogLevel) throws {
    let log = try log(level: level)
    for line in LogLevel.allCases { log.write(line, "m") }
    let expected = LogLevel.allCases.filter { $0 <= level }.map(\.name)
    let written = try text().split(separator: "\n").map { String($0.split(separator: " ")[1]) }
    #expect(written == expected)
  }

  @Test("a file is appended to, and root's alone")
  func file() throws {
    try log().write(.info, "one")
    try log().write(.info, "two")
    #expect(try text().split(separator: "\n").count == 2)
    #expect(try Files.status(directory("log")).permissions == 0o600)
  }

  @Test("a log file that cannot be opened keeps the daemon from starting, and is named")
  func unusable() {
    var configuration = Configuration()
    configuration.logFile = directory("none/log")
    do throws(StartError) {
      _ = try Log(configuration)
      Issue.record("opened")
    } catch {
      #expect(error.description.hasPrefix("logFile: open "))
    }
  }

  @Test("lines of many threads do not mix")
  func threads() async throws {
    let log = try log()
    let long = String(repeating: "x", count: 2000)
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<8 {
        group.addTask {
          await onThread {
            for _ in 0..<50 { log.write(.info, "m", [("n", "\(number)"), ("long", long)]) }
          }
        }
      }
    }
    let lines = try text().split(separator: "\n")
    #expect(lines.count == 400)
    #expect(lines.allSatisfy { $0.hasSuffix(" long=\(long)") && $0.count < 2060 })
  }
}

@Suite("Timestamp")
struct TimestampTests {
  @Test(
    "nanoseconds since 1970 are written as RFC 3339 in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (999_999, "1970-01-01T00:00:00.000Z"),
      (1_000_000, "1970-01-01T00:00:00.001Z"),
      (86_399_999_999_999, "1970-01-01T23:59:59.999Z"),
      (68_169_600_000_000_000, "1972-02-29T00:00:00.000Z"),
      (946_684_799_999_000_000, "1999-12-31T23:59:59.999Z"),
      (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
      (951_868_800_000_000_000, "2000-03-01T00:00:00.000Z"),
      (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000Z"),
      (1_735_689_599_000_000_000, "2024-12-31T23:59:59.000Z"),
      (2_147_483_648_000_000_000, "2038-01-19T03:14:08.000Z"),
      (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000Z"),
      (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
      (UInt64.max, "2554-07-21T23:34:33.709Z"),
    ] as [(UInt64, String)])
  func texts(nanoseconds: UInt64, text: String) {
    #expect(Timestamp(nanoseconds: nanoseconds).description == text)
  }

  @Test("every day from 1970 to 2554 is the one after the day before")
  func everyDay() {
    var (year, month, day) = (1970, 1, 1)
    var wrong: [String] = []
    for days in 0..<UInt64(213_000) {
      let two = { (number: Int) in number < 10 ? "0\(number)" : "\(number)" }
      let text = "\(year)-\(two(month))-\(two(day))T00:00:00.000Z"
      if Timestamp(nanoseconds: days * 86_400_000_000_000).description != text {
        wrong.append(text)
      }
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
      day += 1
      if day > lengths[month - 1] { (month, day) = (month + 1, 1) }
      if month > 12 { (year, month) = (year + 1, 1) }
    }
    #expect(wrong.isEmpty)
  }
}
