package import JSON

/// The two ways of telling what has changed.
package enum OVSDBUpdateFormat: Equatable, Sendable {
  /// RFC 7047 §4.1.6 `update`: whole rows, old and new.
  case rows
  /// ovsdb-server(7) `update2`: only differences, which is less by far where a set is large.
  case differences
}

extension OVSDBReplica {
  /// Takes over what an update, or the answer to a request to be told, says.
  ///
  /// - Parameters:
  ///   - json: the `<table-updates>` or `<table-updates2>`.
  ///   - format: which of them.
  /// - Throws: when it cannot be understood; the copy is of no use any more then.
  package mutating func apply(
    _ json: JSONValue, _ format: OVSDBUpdateFormat
  ) throws(OVSDBWireError) {
    guard let tables = json.object else {
      throw OVSDBWireError("\(json.kind) where updates should be")
    }
    for table in tables.members {
      guard let rows = table.value.object else {
        throw OVSDBWireError("\(table.value.kind) where a table's updates should be")
      }
      for row in rows.members {
        guard let uuid = OVSDBUUID(row.key) else { throw OVSDBWireError("a uuid that is none") }
        guard let update = row.value.object else {
          throw OVSDBWireError("\(row.value.kind) where a row's update should be")
        }
        switch format {
        case .rows: try replace(table.key, uuid, update)
        case .differences: try amend(table.key, uuid, update)
        }
      }
    }
  }

  /// `update`: the row as it is now; without one it has gone.
  private mutating func replace(
    _ table: String, _ uuid: OVSDBUUID, _ update: JSONObject
  ) throws(OVSDBWireError) {
    guard let new = update["new"] else { return remove(table, uuid) }
    try put(table, uuid, try whole(table, new))
  }

  /// `update2`: a new row, a change of one, or none any more.
  private mutating func amend(
    _ table: String, _ uuid: OVSDBUUID, _ update: JSONObject
  ) throws(OVSDBWireError) {
    if let row = update["initial"] ?? update["insert"] {
      try put(table, uuid, try whole(table, row, withDefaults: true))
    } else if let difference = update["modify"] {
      guard let columns = difference.object else {
        throw OVSDBWireError("\(difference.kind) where a change should be")
      }
      for column in columns.members {
        let change = try OVSDBValue(column.value)
        guard let shape = schema.column(table, column.key)?.shape else {
          throw OVSDBWireError("a column that the schema lacks")
        }
        try self.change(table, uuid, column.key) { (value) throws(OVSDBWireError) in
          try value.amend(change, shape)
        }
      }
    } else if update["delete"] != nil {
      remove(table, uuid)
    } else {
      throw OVSDBWireError("an update of a row without any change")
    }
  }

  /// A row as the schema shapes it.
  private func whole(
    _ table: String, _ json: JSONValue, withDefaults: Bool = false
  ) throws(OVSDBWireError) -> OVSDBRow {
    var row = withDefaults ? initialRow(table) : [:]
    for (name, value) in try OVSDBValue.row(json) {
      guard let column = schema.column(table, name) else {
        throw OVSDBWireError("a column that the schema lacks")
      }
      row[name] = try value.shaped(column.shape)
    }
    return row
  }
}

extension OVSDBValue {
  /// The same value as the case that its column always has.
  func shaped(_ shape: OVSDBSchema.Column.Shape) throws(OVSDBWireError) -> OVSDBValue {
    switch (shape, self) {
    case (.map, .map), (.scalar, .atom), (.optional, .set), (.set, .set): return self
    case (.optional, .atom(let atom)), (.set, .atom(let atom)): return .set([atom])
    case (.scalar, .set(let atoms)):
      guard atoms.count == 1, let atom = atoms.first else {
        throw OVSDBWireError("a set where one value should be")
      }
      return .atom(atom)
    default: throw OVSDBWireError("a value of another kind than its column")
    }
  }

  /// Takes over a difference, ovsdb-server(7) `<row>` of `modify`.
  ///
  /// One value: the new one. A set: what is in one of old and new only. A map: pairs that have
  /// gone, have come or have another value now.
  mutating func amend(
    _ change: OVSDBValue, _ shape: OVSDBSchema.Column.Shape
  ) throws(OVSDBWireError) {
    let change = try change.shaped(shape)
    switch (self, change) {
    case (.set(var atoms), .set(let other)) where shape == .set:
      // Let go of first, so that the elements are changed in their place.
      self = .empty
      atoms.toggle(other)
      self = .set(atoms)
    case (.map(var map), .map(let other)):
      self = .map([:])
      for (key, value) in other { map[key] = map[key] == value ? nil : value }
      self = .map(map)
    default: self = change
    }
  }
}

extension [OVSDBAtom] {
  /// Takes out those of the others that are here and puts in those that are not.
  fileprivate mutating func toggle(_ others: [OVSDBAtom]) {
    // One or two are the rule, and a set of all elements would take longer than looking for them.
    guard others.count > 8 else {
      for atom in others {
        if let index = firstIndex(of: atom) { remove(at: index) } else { append(atom) }
      }
      return
    }
    self = Array(Set(self).symmetricDifference(others))
  }
}
