/*
 * proxy/upgrade.h — a program of the same name takes the place of the running one without a client noticing: what the two
 * supervisors say to each other, and the running one's side of it. The new one's is takeover.h.
 *
 *   running                                    new
 *     HELLO, LISTENER for each socket  ──────►   reads its configuration, starts its processes
 *                                      ◄──────   READY: everything is there but the state's keeper
 *     its keeper closes the state
 *     PEER for each worker, YOURS      ──────►   its keeper opens the state, and serves both families' workers
 *                                      ◄──────   SERVING: new connections are accepted
 *     its workers drain; DONE          ──────►
 *     ends with the last of its connections
 *
 * Up to SERVING the running program goes on whatever becomes of the new one.
 */
#ifndef PROXY_UPGRADE_H
#define PROXY_UPGRADE_H

#include "base/error.h"
#include "base/loop.h"
#include "policy/config.h"

#include <sys/types.h>

/* In the new program's environment: the number of the descriptor that the running one speaks at. */
#define UPGRADE_ENV "OVERT_UPGRADE"
/* Of the messages here and of those between workers and keeper (keeper_wire.h): another number, another language. */
#define UPGRADE_WIRE 2

enum upgrade_message {
	/* running to new */
	UPGRADE_HELLO = 1, /* u32 UPGRADE_WIRE, u32 sockets that follow */
	UPGRADE_LISTENER,  /* fd and the words it was asked for with, as listen_text writes them */
	UPGRADE_PEER,      /* fd and a name: a worker of the running family, for the new keeper to serve */
	UPGRADE_YOURS,     /* nobody has the state open any more */
	UPGRADE_DONE,      /* the running family is leaving: its workers accept no more in a moment */
	/* new to running */
	UPGRADE_READY,
	UPGRADE_SERVING,
	UPGRADE_FAILED, /* text; the new program ends */
};

struct upgrade;

/* What the new program has said. Called from the loop; the upgrade may be ended in it. */
struct upgrade_handlers {
	void (*ready)(void *ctx);
	void (*serving)(void *ctx);
};

/*
 * Starts `program` with the words of `argv` (from the verb on) and hands it the sockets. NULL with `err` set. The
 * process is a child of this one: whoever reaps it says so by upgrade_reaped.
 */
must_check struct upgrade *upgrade_begin(struct loop *loop, const char *program, int argc, char *const *argv,
	const struct config *config, const int *listen_fds, const struct upgrade_handlers *handlers, void *ctx,
	struct error *err);
/* Lets go; kills the process when it has not said SERVING. NULL is allowed. */
void upgrade_free(struct upgrade *upgrade);

must_check pid_t upgrade_pid(const struct upgrade *upgrade);
/* A worker's channel, for the new keeper; `fd` stays the caller's. */
void upgrade_peer(struct upgrade *upgrade, int fd, struct bytes name);
/* Once: later calls do nothing. */
void upgrade_yours(struct upgrade *upgrade);
void upgrade_done(struct upgrade *upgrade);
/* Its process was reaped with this status of waitpid: what it died of, for the log. */
void upgrade_ended(struct upgrade *upgrade, int status, struct error *why);

#endif
