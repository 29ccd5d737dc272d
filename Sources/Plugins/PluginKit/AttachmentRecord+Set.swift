package import CNI
package import JSON

// What the record of a set says of its parts, for its plugin and for the daemon.

/// One part of a set as it stands in a plan.
package struct PlannedPart: Planned, Equatable {
  package static let kind = "part"
  /// Where it stands in its set: `<network>.<position>`, both from 0.
  package let place: String
  /// The type in its configuration.
  package let type: String
  /// The network's name.
  package let network: String
  /// The interface in the pod.
  package let ifName: String
  /// Whether a program attaches it.
  package let isExecuted: Bool

  package init(place: String, type: String, network: String, ifName: String, isExecuted: Bool) {
    (self.place, self.type) = (place, type)
    (self.network, self.ifName) = (network, ifName)
    self.isExecuted = isExecuted
  }

  package init?(_ values: JSONObject) {
    guard let place = values["place"]?.string, let type = values["type"]?.string else { return nil }
    self.init(
      place: place, type: type, network: values["network"]?.string ?? "",
      ifName: values["ifName"]?.string ?? "", isExecuted: values["executed"]?.bool ?? true)
  }

  package var values: [(String, JSONValue)] {
    [
      ("place", .string(place)), ("type", .string(type)), ("network", .string(network)),
      ("ifName", .string(ifName)), ("executed", .bool(isExecuted)),
    ]
  }

  /// Which network of the set it belongs to, from 0.
  package var index: Int? { numbers.first }

  /// Which plugin of its network it is, from 0.
  package var position: Int? { numbers.count == 2 ? numbers.last : nil }

  private var numbers: [Int] { place.split(separator: ".").compactMap { Int($0) } }
}

extension AttachmentRecord {
  private static let results = "results"

  /// The result of each network of a set; nil for one that is not attached any more.
  ///
  /// It is empty where the ADD has not ended.
  package var networkResults: [CNIResult?] {
    get {
      (notes[Self.results]?.array ?? []).map { try? CNIResult($0, defaultVersion: .newest) }
    }
    set {
      let values = newValue.map { result in
        (try? result?.json(as: .newest)) ?? JSONValue.null
      }
      notes[Self.results] = .array(values)
    }
  }

  /// The result of one network of a set; nil if it is not known.
  package func networkResult(_ index: Int) -> CNIResult? {
    let results = networkResults
    return results.indices.contains(index) ? results[index] : nil
  }

  /// Whether the ADD of a set has ended, so that each part of its plan was attached.
  package var isCompleteSet: Bool { !networkResults.isEmpty }

  /// The parts of a set that attach one of its networks.
  package func parts(of network: String, ifName: String) -> [PlannedPart] {
    planned(PlannedPart.self).filter { $0.network == network && $0.ifName == ifName }
  }

  /// The record of a set with some of its parts alone, or without them.
  package func keeping(_ isKept: (PlannedPart) -> Bool) -> AttachmentRecord {
    var record = self
    record.plan.removeAll { entry in
      entry.kind == PlannedPart.kind && PlannedPart(entry.values).map { !isKept($0) } ?? false
    }
    return record
  }
}
