/* policy/suggest.h — "did you mean": the known word nearest to one that is not known. */
#ifndef POLICY_SUGGEST_H
#define POLICY_SUGGEST_H

#include "base/attr.h"

#include <stddef.h>

/*
 * The nearest of `words` (`count` of them, `stride` octets apart, each a const char * at its front), or NULL when none
 * is within a third of its length in changed, missing, added or swapped characters.
 */
must_check const char *suggest(const char *word, const void *words, size_t count, size_t stride);

#endif
