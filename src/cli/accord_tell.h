/* cli/accord_tell.h — what an Accord connection has proven, for people and as JSON. */
#ifndef CLI_ACCORD_TELL_H
#define CLI_ACCORD_TELL_H

#include "accord/client.h"
#include "sink/jsonout.h"

#include <stdio.h>

/* One line: what failed, with the number and name of the check where there is one. */
void accord_tell_fault(const struct accord_outcome *outcome, char *out, size_t cap);
/*
 * Below, `roots` is the file that was given in place of the web roots, as pact_terms.trust; NULL: the distribution's counted,
 * without any that were added on this machine.
 */
/* A few lines, each behind "overt VERB: ". */
void accord_tell_summary(FILE *out, const char *verb, const struct accord_outcome *outcome, const char *roots);
/* Who signed what over which nonces, and what follows from it and what does not. For ACCORD_PATH_PROVEN. */
void accord_tell_story(FILE *out, const struct accord_outcome *outcome, const char *roots);
/* The members of an object: path, fault, proxies, server. */
void accord_tell_json(struct jsonout *json, const struct accord_outcome *outcome);

#endif
