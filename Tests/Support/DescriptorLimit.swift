import Glibc
import Linux

/// Runs a body while this process may open `more` descriptors more, and no longer.
///
/// For a process of its own: the limit is everybody's.
public func withDescriptors<Value>(more: Int, _ body: () throws -> Value) throws -> Value {
  // The lowest free number is what the next descriptor gets.
  let next = try Files.open("/dev/null", [.read]).rawValue
  var limit = rlimit()
  _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  let all = limit.rlim_cur
  limit.rlim_cur = rlim_t(Int(next) + more)
  _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  defer {
    limit.rlim_cur = all
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
  return try body()
}
