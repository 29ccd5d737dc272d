import CLinux

/// Random bytes of the kernel.
public enum Random {
  /// That many bytes, getrandom(2).
  public static func bytes(_ count: Int) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(0, count))
    var have = 0
    while have < bytes.count {
      let got = unsafe bytes.withUnsafeMutableBytes { all in
        unsafe cl_getrandom(
          UnsafeMutableRawBufferPointer(rebasing: all[have...]).baseAddress, all.count - have)
      }
      if got > 0 {
        have += Int(got)
        continue
      }
      let errno = Errno.current
      if errno != .interrupted { throw SystemError("getrandom", "", errno) }
    }
    return bytes
  }
}
