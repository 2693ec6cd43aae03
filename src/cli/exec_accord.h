/*
 * cli/exec_accord.h — overt exec --accord and --accord-server: the preload agent instead of a proxy and a CA of its own.
 */
#ifndef CLI_EXEC_ACCORD_H
#define CLI_EXEC_ACCORD_H

#include <stdbool.h>

/* Whether --accord or --accord-server is among the options of `overt exec`; words of the command do not count. */
bool exec_accord_wanted(int argc, char **argv);
void exec_accord_help(void);
/* The verb, then. Returns the exit code. */
int exec_accord(int argc, char **argv);

#endif
