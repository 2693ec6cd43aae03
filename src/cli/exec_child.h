/* cli/exec_child.h — what the ways of `overt exec` share: which is asked for, and the child that becomes the program. */
#ifndef CLI_EXEC_CHILD_H
#define CLI_EXEC_CHILD_H

#include "base/attr.h"

#include <stdbool.h>

/* Whether --NAME or --NAME=… stands among the options of `overt exec`, before the command. */
must_check bool exec_child_given(int argc, char **argv, const char *name);
/* In the child: puts the agent in front of what is preloaded already. False with errno set. */
must_check bool exec_child_preload(const char *agent);
/*
 * In the child: becomes the program, with the signals that overt ignores or blocks as it found them by default. `ready`
 * false, or a program that cannot be started: says why by errno, and ends as a shell would (126, 127).
 */
no_return void exec_child_become(char *const *argv, bool ready);

/*
 * The environment of a child, as `change` makes it with setenv; this process goes on with its own. For before a fork: after
 * it, nothing may be allocated where there are threads. NULL with errno set.
 */
must_check char **exec_child_environment(bool (*change)(const void *arg), const void *arg);

#endif
