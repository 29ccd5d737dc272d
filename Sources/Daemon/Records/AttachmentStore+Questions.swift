package import CNI
import Linux
package import PluginKit

/// Questions that memory answers.
extension AttachmentStore {
  /// What is known of every record.
  package var summaries: [AttachmentKey: Summary] { state.withLock { $0.summaries } }

  /// What is known of one record.
  package func summary(of key: AttachmentKey) -> Summary? { state.withLock { $0.summaries[key] } }

  /// How many records there are.
  package var count: Int { state.withLock { $0.summaries.count } }

  /// What the plugin of a recorded attachment must not do twice at a time.
  package func lock(of key: AttachmentKey) -> String? { summary(of: key)?.lock }

  /// The attachments that a call of their own made of an interface of a container in a network.
  package func keys(containerID: String, ifName: String, network: String) -> [AttachmentKey] {
    state.withLock { state in
      state.keys(containerID: containerID, ifName: ifName)
        .filter { $0.network == network && $0.hasOwnCall }
        .sorted { $0.plugin < $1.plugin }
    }
  }

  /// The other attachments of the same interface of the same container, in whatever network, parts
  /// of sets included.
  package func others(than key: AttachmentKey) -> [AttachmentKey] {
    state.withLock { state in
      state.keys(containerID: key.containerID, ifName: key.ifName)
        .filter { $0 != key && !$0.isLeftover }
    }
  }

  /// The first attachment that a container's runtime made: what is plugged in later goes with it.
  package func first(of containerID: String) -> AttachmentKey? {
    state.withLock { state in
      let roots = state.keys(containerID: containerID).filter {
        guard let summary = state.summaries[$0] else { return false }
        return $0.hasOwnCall && state.isRoot($0) && summary.phase == .attached && !summary.isPlugged
      }
      func order(_ key: AttachmentKey) -> (UInt64, String) {
        (state.summaries[key]?.stamp.nanoseconds ?? 0, key.ifName)
      }
      return roots.min { order($0) < order($1) }
    }
  }

  /// The set of a container that has attached an interface to a network, with others.
  package func set(of containerID: String, ifName: String, network: String) -> AttachmentKey? {
    state.withLock { state in
      state.keys(containerID: containerID).first { key in
        // One that is this very attachment is not a part of another one.
        key.hasOwnCall && !(key.ifName == ifName && key.network == network)
          && state.summaries[key]?.parts.contains {
            $0.ifName == ifName && $0.network == network
          } ?? false
      }
    }
  }

  /// What is attached to a network, parts of sets included that have no records of their own.
  package func attached(to network: String) -> [NetworkConfiguration.Attachment] {
    state.withLock { state in
      var all: Set<NetworkConfiguration.Attachment> = []
      for (key, summary) in state.summaries where !key.isLeftover {
        let own = key.network == network ? [key.ifName] : []
        let parts = summary.parts.filter { $0.network == network }.map(\.ifName)
        for ifName in own + parts {
          all.insert(.init(containerID: key.containerID, ifName: ifName))
        }
      }
      return Array(all)
    }
  }

  /// The networks to which an interface of a container is attached.
  package func networks(containerID: String, ifName: String) -> Set<String> {
    state.withLock { state in
      let keys = state.keys(containerID: containerID).filter { !$0.isLeftover }
      let parts = keys.flatMap { state.summaries[$0]?.parts ?? [] }
      return Set(
        keys.filter { $0.ifName == ifName }.map(\.network)
          + parts.filter { $0.ifName == ifName }.map(\.network))
    }
  }

  /// The attachments to a network that belong to no set.
  package func roots(network: String) -> [AttachmentKey] {
    state.withLock { state in
      state.summaries.keys.filter {
        $0.network == network && !$0.isLeftover && state.isRoot($0)
      }
    }
  }

  /// What failed ADDs of an attachment's interfaces have left, and whether an attachment is there
  /// in whose way the undo would be.
  ///
  /// A set has the interfaces of all of its parts.
  package func leftovers(of key: AttachmentKey) -> (keys: [AttachmentKey], isTaken: Bool) {
    state.withLock { state in
      func interfaces(_ key: AttachmentKey) -> Set<String> {
        Set([key.ifName] + (state.summaries[key]?.parts.map(\.ifName) ?? []))
      }
      let own = interfaces(key)
      let keys = state.keys(containerID: key.containerID).filter {
        !interfaces($0).isDisjoint(with: own)
      }
      return (keys.filter(\.isLeftover), keys.contains { !$0.isLeftover })
    }
  }

  /// An attachment with its parts, what was plugged in later, and theirs.
  package func family(of key: AttachmentKey) -> Set<AttachmentKey> {
    state.withLock { state in
      var (all, next) = (Set([key]), [key])
      // Records that are each other's parents end it too.
      while let parent = next.popLast() {
        for child in state.children(of: parent) where all.insert(child).inserted {
          next.append(child)
        }
      }
      return all
    }
  }

  /// The attachment to which a name belongs: the newest one that lists it and is not being deleted.
  package func holder(of name: OutsideName) -> NameHolder? {
    state.withLock { state in
      state.holder(of: name, bootID: bootID).flatMap { key in
        state.summaries[key].map {
          NameHolder(key: key, stamp: $0.stamp, isAttached: $0.phase == .attached)
        }
      }
    }
  }

  /// The attachments that list a name and whose DEL has begun and still waits for somebody.
  ///
  /// - Throws: code 11 or 5 if one cannot be read now.
  package func releasing(_ name: OutsideName) throws(CNIError) -> [AttachmentRecord] {
    var records: [AttachmentRecord] = []
    for key in users(of: name) where summary(of: key)?.phase == .deleting {
      if let record = try readable(key) { records.append(record) }
    }
    return records
  }

  /// Every attachment that lists a name.
  package func users(of name: OutsideName) -> Set<AttachmentKey> {
    state.withLock { $0.users(of: name) }
  }

  /// The attachments about which something has to be done without being asked.
  ///
  /// A part of a set that is unfinished itself belongs to the set's work.
  package func unfinished() -> [AttachmentKey] {
    state.withLock { state in
      func isUnfinished(_ key: AttachmentKey) -> Bool {
        state.summaries[key].map { $0.phase != .attached || isOfAnotherBoot($0.stamp) } ?? false
      }
      return state.summaries.compactMap { key, summary in
        isUnfinished(key) && !(summary.parent.map { isUnfinished($0) } ?? false) ? key : nil
      }
    }
  }

  /// What leads to the namespaces of attachments that belong to no set: of all, or of those in
  /// the one with an id.
  package func traces(namespaceID id: Int32? = nil) -> [AttachmentNamespace.Trace] {
    state.withLock { state in
      state.summaries.compactMap { key, summary in
        guard state.isRoot(key), !key.isLeftover, let trace = summary.trace else { return nil }
        return id == nil || trace.namespace.id == id ? trace : nil
      }
    }
  }
}

extension AttachmentKey {
  /// Whether a call made it by itself: it is no part of a set, and not the rest of a failed ADD.
  fileprivate var hasOwnCall: Bool { place.isEmpty }
}
