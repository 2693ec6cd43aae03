/* proxy/supervisor_parts.h — what the supervisor's own files share. Not for others. */
#ifndef PROXY_SUPERVISOR_PARTS_H
#define PROXY_SUPERVISOR_PARTS_H

#include "base/loop.h"
#include "proxy/counts.h"
#include "proxy/family.h"
#include "proxy/ipc.h"
#include "proxy/program.h"
#include "proxy/supervisor.h"

#include <sys/types.h>

struct supervisor;

struct child {
	struct supervisor *supervisor;
	enum family_role role;
	uint32_t number; /* of a worker, from 0 */
	pid_t pid;       /* 0: not running */
	struct ipc *ipc;
	bool ready;
	bool prepared;   /* a keeper: it has the CA, and not yet the state */
	bool failed;     /* it said why */
	int keeper_end;  /* of a worker: the end of its channel that waits for the keeper; -1: none */
	uint32_t source; /* of a worker's ring: new with each start */
	uint64_t started_ns;
	struct loop_timer restart;
};

struct supervisor {
	struct loop *loop;
	const struct config *config;
	int argc;
	char *const *argv;
	int *listen_fds;
	struct bytes config_text;
	char *own_pem; /* NUL-terminated, from the keeper */
	int snapshot_fd;
	struct keeper_client *records; /* for the audit entries of the family itself */
	uint64_t generation;           /* of the present snapshot: counts from 1 */
	bool recorded;                 /* the audit log knows that the family started */
	struct child keeper, resolver, scribe, *workers;
	size_t worker_count;
	uint32_t next_source;
	struct loop_timer stop_late;
	struct metrics *metrics; /* NULL: nobody may ask */
	struct supervisor_counts counts;
	char program[PROGRAM_PATH_MAX]; /* what an upgrade starts; empty: it could not be told */
	struct upgrade *upgrade;        /* another program is about to take this one's place; NULL: none */
	bool giving;                    /* the keeper was told to leave the state to it */
	bool replaced;                  /* it has taken our place, and nobody has asked to stop since */
	struct takeover *takeover;      /* whose place this one takes; NULL: nobody's */
	bool waiting;                   /* that one has the state still */
	struct former *former;          /* its workers, until the keeper serves them */
	int stops;
	uint64_t asked_ns; /* when the first signal to stop came; 0: none */
	bool up;           /* every child has been ready once */
	bool ok;
	struct error *err;
};

void supervisor_tell(struct child *child, enum family_message kind, struct bytes body, const int *fds, size_t count);
/* While starting: ends the family and the program with `why`, unless `err` says already why. */
void supervisor_give_up(struct supervisor *s, const char *why);
void supervisor_open_records(struct supervisor *s);
must_check bool supervisor_serve_counts(struct supervisor *s, struct error *err);
/* Workers accept no more; the family ends with their last connection. */
void supervisor_drain(struct supervisor *s);
/* Starts a child again soon. */
void supervisor_restart(struct child *child);

/* supervisor_upgrade.c: another program in this one's place. */
void supervisor_upgrade(struct supervisor *s);
void supervisor_upgrade_reaped(struct supervisor *s, pid_t pid, int status);

/* supervisor_takeover.c: this program in another's place. */
must_check bool supervisor_take_over(struct supervisor *s, struct error *err);
/* The keeper has opened the state: it serves the workers of both families. */
void supervisor_keeper_took_over(struct supervisor *s);
void supervisor_peers_free(struct supervisor *s);

#endif
