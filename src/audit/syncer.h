/*
 * audit/syncer.h — fdatasync in a thread of its own, one at a time: on a slow disk it takes tens of milliseconds, which the
 * loop has better uses for.
 */
#ifndef AUDIT_SYNCER_H
#define AUDIT_SYNCER_H

#include "base/attr.h"

#include <stdbool.h>

struct syncer;

/* Starts the thread. NULL with errno set. */
must_check struct syncer *syncer_new(void);
/* Waits for a sync in progress, ends the thread. NULL is allowed. */
void syncer_free(struct syncer *syncer);

/* Readable when a sync is done: an eventfd, non-blocking, the object's own; syncer_result empties it. */
must_check int syncer_fd(const struct syncer *syncer);
/* Begins. Only when none is in progress. `fd` must stay open until it is done. */
void syncer_begin(struct syncer *syncer, int fd);
/* False: still in progress (or none was begun). Else the sync is over, and *code is 0 or its errno. */
must_check bool syncer_result(struct syncer *syncer, int *code);
/* Blocks until the sync in progress is done; syncer_result then says how. */
void syncer_wait(struct syncer *syncer);

#endif
