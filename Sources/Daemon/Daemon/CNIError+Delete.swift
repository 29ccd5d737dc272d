import CNI

extension CNIError {
  /// The error of a DEL in words that no caller takes for success.
  ///
  /// containerd does with "not found", and without a namespace also with "no such file or
  /// directory" (go-cni's `Remove`), whoever has said it: an IPAM program, a backend.
  var ofDelete: CNIError {
    func told(_ text: String) -> String {
      replaced(
        "no such file or directory", "no such file", in: replaced("not found", "missing", in: text))
    }
    return CNIError(code, told(message), details: told(details))
  }
}

private func replaced(_ words: String, _ others: String, in text: String) -> String {
  var rest = Array(text.utf8)[...]
  var result: [UInt8] = []
  while !rest.isEmpty {
    if rest.starts(with: words.utf8) {
      result += others.utf8
      rest = rest.dropFirst(words.utf8.count)
    } else if let byte = rest.popFirst() {
      result.append(byte)
    }
  }
  return String(decoding: result, as: UTF8.self)
}
