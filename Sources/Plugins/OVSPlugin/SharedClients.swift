import Linux
import OVSDB

/// The databases' clients, each shared by all calls.
///
/// One that no call has asked for lately is let go: its address may have been a mistake. The
/// calls that have it keep it until their end.
struct SharedClients {
  private var entries: [OVSDBAddress: Entry] = [:]

  private struct Entry {
    let client: OVSDBClient
    /// CLOCK_MONOTONIC.
    var used: UInt64
  }

  /// So long a client stays beside the one that was asked for last.
  static let idle: UInt64 = 600_000_000_000
  /// How many there are at the most.
  static let most = 16

  var all: [OVSDBClient] { entries.values.map(\.client) }

  /// The client of an address; made if there is none.
  mutating func client(
    _ address: OVSDBAddress, now: UInt64 = KernelClock.monotonic,
    make: () throws(OVSDBError) -> OVSDBClient
  ) throws(OVSDBError) -> OVSDBClient {
    let client = if let known = entries[address]?.client { known } else { try make() }
    entries[address] = Entry(client: client, used: now)
    entries = entries.filter { $0.key == address || now &- $0.value.used < Self.idle }
    if entries.count > Self.most, let oldest = entries.min(by: { $0.value.used < $1.value.used }) {
      entries[oldest.key] = nil
    }
    return client
  }
}
