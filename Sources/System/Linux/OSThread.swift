// The shim has one thread, and glibc's pthread_create brings its resolver into a static program.
#if !hasFeature(Embedded)
  import CLinux

  /// Threads of the operating system, for work that blocks.
  public enum OSThread {
    private final class Body {
      let run: () -> Void
      init(_ run: @escaping () -> Void) { self.run = run }
    }

    private final class Slot<T> { var value: T? }

    /// Stack of every thread, virtual memory only: Swift code needs more than 16 KiB, with a
    /// sanitizer far more.
    #if SANITIZE_THREAD || SANITIZE_ADDRESS
      private static let stackBytes = 8 << 20
    #else
      private static let stackBytes = 512 << 10
    #endif

    /// Starts a thread that nobody waits for.
    public static func start(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
      let thread = try create(body)
      _ = pthread_detach(thread)
    }

    /// Runs a body on a thread of its own and waits for its end.
    ///
    /// A namespace that the body enters ends with the thread, so the process never keeps a thread
    /// in a foreign namespace. The body's own errors come back as values.
    public static func run<T>(_ body: @escaping () -> T) throws(SystemError) -> T {
      let slot = Slot<T>()
      let thread = try create { slot.value = body() }
      _ = pthread_join(thread, nil)
      guard let value = slot.value else { throw SystemError("pthread_join", "", .invalid) }
      return value
    }

    private static func create(_ body: @escaping () -> Void) throws(SystemError) -> pthread_t {
      var attributes = pthread_attr_t()
      unsafe pthread_attr_init(&attributes)
      defer { _ = unsafe pthread_attr_destroy(&attributes) }
      _ = unsafe pthread_attr_setstacksize(&attributes, stackBytes)
      let box = unsafe Unmanaged.passRetained(Body(body))
      var thread = pthread_t()
      let code = unsafe pthread_create(
        &thread, &attributes,
        { argument in
          guard let argument = unsafe argument else { return nil }
          unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
          return nil
        }, box.toOpaque())
      if code != 0 {
        unsafe box.release()
        throw SystemError("pthread_create", "", Errno(rawValue: code))
      }
      return thread
    }
  }
#endif
