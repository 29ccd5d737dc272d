// Two functions of glibc, for the shim only: it is linked statically, and glibc's own bring in
// translations, character sets, wide streams and formatted printing, 84 kB of which nothing runs.
//
// A static link takes a function from here before it looks into libc.a. Where glibc no longer has
// them like this, the link fails or they are not used.
#ifdef CNI_EMBEDDED

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The shim never chooses a locale, so that every text stays as it is.
__attribute__((used)) char *__dcgettext(const char *domain, const char *text, int category) {
  (void)domain;
  (void)category;
  return (char *)text;
}

// A check inside glibc that failed, such as one of its heap.
__attribute__((used)) void __assert_fail(
    const char *check, const char *file, unsigned line, const char *function) {
  const char *parts[] = {"cni-shim: check of libc failed: ", check, " in ", function, "\n"};
  (void)file;
  (void)line;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (parts[i] && write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) break;
  }
  abort();
}

#endif
