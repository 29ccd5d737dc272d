func percentile(_ values: [UInt64], _ percent: Int) -> UInt64 {
  let sorted = values.sorted()
  return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * percent / 100)]
}

func milliseconds(_ nanoseconds: UInt64) -> String {
  let hundredths = (nanoseconds + 5_000) / 10_000
  let rest = hundredths % 100
  let text = "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
  return String(repeating: " ", count: max(0, 8 - text.utf8.count)) + text
}

func ratio(_ ours: UInt64, _ theirs: UInt64) -> Double {
  theirs == 0 ? 0 : (Double(ours) / Double(theirs) * 1000).rounded() / 1000
}

func report(_ title: String, _ contenders: [Contender]) {
  print("\n\(title), milliseconds")
  print(
    "                            ADD p50      p99 DEL p50      p99pair p50      p99 CPU/pair"
      + " (called + daemon)")
  for contender in contenders {
    let label = contender.label
    var line = label + String(repeating: " ", count: max(0, 27 - label.utf8.count))
    for values in [contender.adds, contender.deletes, contender.pairs] {
      line += milliseconds(percentile(values, 50)) + " " + milliseconds(percentile(values, 99))
    }
    let count = UInt64(max(1, contender.pairs.count))
    line += " " + milliseconds(contender.nanosecondsOfCPU / count)
    line +=
      " (\(milliseconds(contender.called / count)) + \(milliseconds(contender.helped / count)))"
    print(line)
  }
}
