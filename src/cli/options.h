/* cli/options.h — what the verbs that run a proxy share: the state directory, limits. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/error.h"
#include "policy/config.h"

/* True when --help or -h stands among the arguments, before "--". */
must_check bool wants_help(int argc, char **argv);
/* Prints "overt VERB: text" on standard error. Returns `code`. */
must_check int complain(const char *verb, const struct error *err, int code);

/* Makes the state directory (0700) when it is missing. */
must_check bool make_state(const char *state, struct error *err);
/*
 * With --user as root: a new, empty state directory becomes that user's. One that holds files of somebody else is left
 * alone: false, with what to do.
 */
must_check bool give_state(const struct config *config, struct error *err);
/* Raises the limit of open files to the hard limit; where that is still too low, lowers config->connections to fit. */
void raise_limits(struct config *config);

#endif
