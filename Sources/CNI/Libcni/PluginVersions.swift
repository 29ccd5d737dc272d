import CNI
import JSON
package import Linux

extension PluginExecutor {
  /// The versions that a plugin says it supports.
  ///
  /// It is asked as libcni asks: the network's variables are `dummy`, because skeletons of old want
  /// them. One that does not know VERSION is of 0.1.0.
  ///
  /// - Parameters:
  ///   - type: the plugin's type.
  ///   - deadline: when it is killed.
  /// - Returns: the versions' texts, as it gives them.
  /// - Throws: every ``PluginError``.
  package func versions(of type: String, deadline: Deadline) throws(PluginError) -> [String] {
    let question: JSONValue = ["cniVersion": .string(CNIVersion.newest.description)]
    let variables = ["CNI_NETNS", "CNI_IFNAME", "CNI_PATH"].map { ($0, "dummy") }
    let call = PluginInvocation(
      type: type, command: .version, environment: variables, input: question.encoded(),
      deadline: deadline)
    let output: PluginOutput
    do throws(PluginError) {
      output = try ask(call)
    } catch {
      if error.isUnknownCommand { return [CNIVersion.v010.description] }
      throw error
    }
    if let versions = Self.versions(in: output.output) { return versions }
    throw PluginError(
      type: type, command: .version,
      reason: .unreadable(PluginExecutor.words(for: "it names no versions", about: output.output)),
      errorOutput: output.errorOutput)
  }

  /// What an answer to VERSION names, nil if it is none.
  ///
  /// Those of 0.2.0 had no list.
  private static func versions(in bytes: [UInt8]) -> [String]? {
    guard let answer = (try? JSONValue.parse(bytes))?.object,
      let own = answer["cniVersion"]?.string
    else { return nil }
    let list = answer["supportedVersions"]?.array?.compactMap(\.string) ?? []
    if !list.isEmpty { return list }
    return own == CNIVersion.v020.description ? [CNIVersion.v010.description, own] : nil
  }

  /// Checks that all plugins of a list are there and support its version.
  ///
  /// - Parameters:
  ///   - list: the list.
  ///   - isBuiltIn: types that need no program.
  ///   - deadline: when programs are killed.
  /// - Returns: what is wrong, in libcni's words; nothing if all is good.
  package func faults(
    of list: NetworkList, isBuiltIn: (String) -> Bool = { _ in false }, deadline: Deadline
  ) -> [String] {
    var faults: [String] = []
    for plugin in list.plugins where !isBuiltIn(plugin.type) {
      do throws(PluginError) {
        if try versions(of: plugin.type, deadline: deadline).contains(list.version) { continue }
        faults.append(
          "plugin \(plugin.type) does not support config version \(goQuoted(list.version))")
      } catch {
        faults.append(error.description)
      }
    }
    return faults
  }
}
