/*
 * proxy/supervisor.h — starts, watches and replaces the family: keeper, resolver, scribe and workers, each a process of
 * its own. It holds the listening sockets, so that a dead worker's queue is not lost, and no keys.
 */
#ifndef PROXY_SUPERVISOR_H
#define PROXY_SUPERVISOR_H

#include "base/error.h"
#include "policy/config.h"

/*
 * Runs until it is told to stop (SIGTERM or SIGINT: drain; twice: at once; SIGHUP: reload). `argv` is the command line
 * from the verb on, which the children read again. `listen_fds` stay the caller's. False with `err` set.
 */
must_check bool supervisor_run(
	const struct config *config, int argc, char *const *argv, const int *listen_fds, struct error *err);

/* Tells the service manager that a reload begins (sd_notify(3)); READY=1 has to follow. */
void supervisor_say_reloading(void);

#endif
