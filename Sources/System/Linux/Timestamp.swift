/// A point in time as RFC 3339 writes it, in UTC.
public struct Timestamp: Sendable, CustomStringConvertible {
  /// `2026-11-21T09:30:00.123Z`.
  public let description: String

  /// Creates the text of a point in time.
  ///
  /// - Parameter nanoseconds: since 1970.
  public init(nanoseconds: UInt64) {
    let seconds = nanoseconds / 1_000_000_000
    let (days, ofDay) = (Int(seconds / 86_400), Int(seconds % 86_400))
    // Days since 1970-01-01 to a date of the Gregorian calendar, counted in years
    // that begin in March.
    let shifted = days + 719_468
    let (era, ofEra) = (shifted / 146_097, shifted % 146_097)
    let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * ofYear + 2) / 153
    let day = ofYear - (153 * marchMonth + 2) / 5 + 1
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let milliseconds = Int(nanoseconds % 1_000_000_000 / 1_000_000)
    description =
      "\(Self.digits(year, 4))-\(Self.digits(month, 2))-\(Self.digits(day, 2))T"
      + "\(Self.digits(ofDay / 3600, 2)):\(Self.digits(ofDay / 60 % 60, 2)):\(Self.digits(ofDay % 60, 2))"
      + ".\(Self.digits(milliseconds, 3))Z"
  }

  private static func digits(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
  }
}
