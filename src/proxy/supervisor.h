/*
 * proxy/supervisor.h — starts, watches and replaces the family: keeper, resolver, scribe and workers, each a process of
 * its own. It holds the listening sockets, so that a dead worker's queue is not lost, and no keys.
 */
#ifndef PROXY_SUPERVISOR_H
#define PROXY_SUPERVISOR_H

#include "base/error.h"
#include "policy/config.h"

struct takeover;

/*
 * Runs until it is told to stop (SIGTERM or SIGINT: drain; twice: at once; SIGHUP: reload; SIGUSR2: another program takes
 * its place). `argv` is the command line from the verb on, which the children read again. `listen_fds` stay the
 * caller's; those that now are another program's are closed and -1. `takeover`: whose place this one takes, NULL: nobody's;
 * stays the caller's. False with `err` set.
 */
must_check bool supervisor_run(const struct config *config, int argc, char *const *argv, int *listen_fds,
	struct takeover *takeover, struct error *err);

/* Tells the service manager that a reload begins (sd_notify(3)); READY=1 has to follow. */
void supervisor_say_reloading(void);

#endif
