import DaemonAPI
import Daemon
import DelegatePlugin
import Linux
import MacvlanPlugin
import OVSPlugin
import PluginKit
import Records
import VRouterPlugin

// The daemon: the plugins that it has are the list below.
let plugins: [any NetworkPlugin] = [
  MacvlanPlugin(), OVSPlugin(), VRouterPlugin(), DelegatePlugin(), NoopPlugin(),
]

func write(_ text: String, to descriptor: Int32) {
  _ = try? Descriptor.write(descriptor, Array(text.utf8))
}

Linux.Process.openStandardDescriptors()

let arguments = Array(CommandLine.arguments.dropFirst())

do throws(UsageError) {
  switch try CommandLineReader.read(arguments, version: Product.version) {
  case .print(let text): write(text, to: 1)
  case .checkConfiguration(let check):
    let faults = check.faults(plugins)
    for fault in faults { write("cnid: \(fault)\n", to: 2) }
    if !faults.isEmpty { Linux.Process.exit(1) }
    for file in check.files { write("\(file): ok\n", to: 1) }
  case .run(let configuration):
    do throws(StartError) {
      try Lifecycle.run(configuration, plugins: plugins, version: Product.version) {
        () throws(UsageError) in try CommandLineReader.configuration(arguments)
      }
    } catch {
      Log.cannotStart(configuration, error)
      Linux.Process.exit(error.exitStatus)
    }
  }
} catch {
  Log.cannotBegin(error)
  Linux.Process.exit(error.isPassing ? 1 : 2)
}
