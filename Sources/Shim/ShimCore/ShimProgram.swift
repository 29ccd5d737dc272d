import CNI
import DaemonAPI
import Linux

/// The program `cni-shim`: what a runtime's call or a person's command line makes it do.
package enum ShimProgram {
  /// Runs it with this process's environment, arguments and standard descriptors.
  ///
  /// - Returns: the process's exit status.
  package static func main() -> Int32 {
    Process.openStandardDescriptors()
    Signal.ignoreBrokenPipes()
    let environment = Process.environment()
    let isCall = ShimEnvironment(environment).command != nil
    // Arguments are for people; a runtime gives none.
    if !isCall, let text = text(for: Process.arguments().dropFirst().first) {
      return write(text, to: 1) ? 0 : 1
    }
    var shim = Shim(environment: environment, standardInput: 0, name: Process.name)
    let outcome = shim.run()
    // The answer first: nobody may be reading the log.
    let isWritten = write(outcome.output, to: 1)
    _ = write(outcome.errorOutput, to: 2)
    return isWritten ? outcome.status : 1
  }

  private static func text(for flag: String?) -> [UInt8]? {
    guard let flag = flag?.utf8 else { return nil }
    if flag.elementsEqual("--version".utf8) || flag.elementsEqual("-v".utf8)
      || flag.elementsEqual("-version".utf8)
    {
      return Array("cni-shim \(Product.version)\n".utf8)
    }
    if flag.elementsEqual("--help".utf8) || flag.elementsEqual("-h".utf8) {
      return Array(help.utf8)
    }
    return nil
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    do throws(SystemError) {
      try Descriptor.writeAll(descriptor, bytes, deadline: .after(seconds: 30))
      return true
    } catch {
      return false
    }
  }

  private static let help = """
    cni-shim - the CNI plugin binary of cnid: hands a container runtime's call to the daemon

    A container runtime runs it with CNI_* variables and a network configuration on stdin, as it
    runs any CNI plugin. It may be linked under another plugin's name. Linked as loopback it sets
    a pod's lo up and down by itself, and needs no daemon.

    usage: CNI_COMMAND=... cni-shim < configuration.json
           cni-shim --version | --help

    Keys of the configuration that it reads itself:

      daemonSocketDir  directory of the daemon's socket cnid.sock (default /run/cnid)
      daemonTimeout    seconds for the whole call (default 100)
      unreachableTimeout  seconds that ADD and UPDATE wait for an absent daemon (default 15)
      logFile, logLevel (error, warning, info, debug), logToStderr

    examples:

      CNI_COMMAND=VERSION cni-shim
      CNI_COMMAND=STATUS CNI_PATH=/opt/cni/bin cni-shim < network.json
      CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0 \\
        CNI_PATH=/opt/cni/bin cni-shim < network.json

    It ends with 0, or with 1 and an error as JSON on stdout. Without a daemon ADD, CHECK, UPDATE and
    GC fail with code 11, STATUS with 50. DEL is written to <daemonSocketDir>/spool/, where
    the daemon finds it when it is back, and succeeds; if it cannot be written it fails with code 11.

    """
}
