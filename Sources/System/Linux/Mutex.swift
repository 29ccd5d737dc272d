// The one place that says what `Mutex` is: every other file gets it, and `Atomic`, with
// `import Linux`. The shim has neither.
#if !hasFeature(Embedded)
  @_exported public import Synchronization

  #if SANITIZE_THREAD
    import CLinux

    /// A value behind a lock of libpthread, for `scripts/test --sanitize thread` only.
    ///
    /// The sanitizer follows pthread mutexes. It does not see into the library that has
    /// `Synchronization.Mutex`, and would call everything behind one a race. A file sees this one
    /// as long as it does not import Synchronization itself.
    @safe
    public struct Mutex<Value: ~Copyable>: ~Copyable {
      private let lock: UnsafeMutablePointer<pthread_mutex_t>
      private let value: UnsafeMutablePointer<Value>

      /// Puts a value behind a lock of its own.
      public init(_ initialValue: consuming sending Value) {
        unsafe lock = .allocate(capacity: 1)
        unsafe lock.initialize(to: pthread_mutex_t())
        _ = unsafe pthread_mutex_init(lock, nil)
        unsafe value = .allocate(capacity: 1)
        unsafe value.initialize(to: initialValue)
      }

      deinit {
        unsafe value.deinitialize(count: 1)
        unsafe value.deallocate()
        _ = unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
      }

      /// Runs a closure while no other thread has the value.
      public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
      ) throws(Failure) -> sending Result {
        _ = unsafe pthread_mutex_lock(lock)
        defer { _ = unsafe pthread_mutex_unlock(lock) }
        return try unsafe body(&value.pointee)
      }
    }

    // The lock guards the value.
    extension Mutex: @unchecked Sendable where Value: ~Copyable {}
  #endif
#endif
