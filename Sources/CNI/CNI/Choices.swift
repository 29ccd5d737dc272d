import JSON

/// The names that there are, for the error of one that there is not: `there are eth0, eth1 and 12
/// more`, or `there is none`.
///
/// - Parameters:
///   - names: all of them, in any order.
///   - wanted: what was written; the name nearest to it comes first.
/// - Returns: the words.
package func choices(_ names: [String], near wanted: String) -> String {
  var names = names.sorted()
  if let nearest = KeyTable(names).nearest(wanted) {
    names = [nearest] + names.filter { $0 != nearest }
  }
  let most = 6
  guard let last = names.last else { return "there is none" }
  if names.count == 1 { return "there is " + last }
  let shown = names.count > most ? names.prefix(most) : names.dropLast()
  let rest = names.count > most ? "\(names.count - most) more" : last
  return "there are " + shown.joined(separator: ", ") + " and " + rest
}
