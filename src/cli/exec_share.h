/* cli/exec_share.h — overt exec --share: no proxy and no CA; the program's connections off the wire, with its own keys. */
#ifndef CLI_EXEC_SHARE_H
#define CLI_EXEC_SHARE_H

#include <stdbool.h>

/* Whether --share is among the options of `overt exec`; words of the command do not count. */
bool exec_share_wanted(int argc, char **argv);
void exec_share_help(void);
/* The verb, then. Returns the exit code. */
int exec_share(int argc, char **argv);

#endif
