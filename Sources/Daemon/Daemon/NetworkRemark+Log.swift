import CNI
import Libcni
import PluginKit

extension NetworkRemark {
  /// How the log says it.
  var logLine: (level: LogLevel, message: String, fields: [(String, String)]) {
    switch self {
    case .appeared(let network, let file):
      (.info, "a network has appeared", [("network", network), ("file", file)])
    case .changed(let network, let file):
      (.info, "a network has changed", [("network", network), ("file", file)])
    case .removed(let network, let file):
      (.info, "a network was removed", [("network", network), ("file", file)])
    case .damaged(let file, let fault, let kept?):
      (
        .warning, "a network's file is not good; the last good one stays in force",
        [("file", file), ("fault", fault), ("network", kept)]
      )
    case .damaged(let file, let fault, nil):
      (
        .warning, "a network's file is not good and counts for nothing until it is",
        [("file", file), ("fault", fault)]
      )
    case .mended(let file):
      (.info, "a network's file is good again", [("file", file)])
    case .hidden(let network, let file, let first):
      (
        .warning, "two files have the same network; the first one counts",
        [("network", network), ("file", file), ("counts", first)]
      )
    case .missing(let directory):
      (.info, "a directory of networks is not there yet", [("directory", directory)])
    case .unreadable(let path, let fault):
      (
        .warning, "networks cannot be read; what was known of them stays in force",
        [("path", path), ("error", fault)]
      )
    case .unwatched(let fault):
      (
        .warning, "networks are not watched, only looked at every second", [("error", fault)]
      )
    case .watched: (.info, "networks are watched again", [])
    }
  }
}
