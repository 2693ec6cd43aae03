/* agent/place.h — for `overt exec`: where the agent's objects are, and which programs they cannot get into. */
#ifndef AGENT_PLACE_H
#define AGENT_PLACE_H

#include "base/error.h"

#include <stddef.h>

/* The preloaded object: beside this program, in its build tree, or where it was installed. */
must_check bool place_find(char *out, size_t cap, struct error *err);
/* The program's file, looked up in PATH; -1 when there is none that can be opened. */
must_check int place_open(const char *command);
/* Why LD_PRELOAD does not reach this program, looked up in PATH, as a phrase; NULL when nothing speaks against it. */
must_check const char *place_barrier(const char *command);

#endif
