import Daemon
import DaemonAPI
import ExamplePlugin
import Linux
import PluginKit
import Records

// A daemon with the plugin of PluginKit's documentation, for tests that must kill one.

let plugins: [any NetworkPlugin] = [CablePlugin()]
let arguments = Array(CommandLine.arguments.dropFirst())

func end(_ text: String) -> Never {
  _ = try? Descriptor.write(2, Array("cnid-example: \(text)\n".utf8))
  Linux.Process.exit(1)
}

do throws(UsageError) {
  guard case .run(let configuration) = try CommandLineReader.read(arguments, version: "example")
  else { end("runs as a daemon only") }
  do throws(StartError) {
    try Lifecycle.run(configuration, plugins: plugins, version: "example") {
      () throws(UsageError) in try CommandLineReader.configuration(arguments)
    }
  } catch {
    end("\(error)")
  }
} catch {
  end("\(error)")
}
