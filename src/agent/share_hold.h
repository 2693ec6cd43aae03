/*
 * agent/share_hold.h — keys of one connection that are not released yet: those of the direction that this side receives,
 * which are as good for forging as for reading until it has left their epoch. In memory of agent/share_pool.h. Of a connection one thread at a time, as with its library. libc only.
 */
#ifndef AGENT_SHARE_HOLD_H
#define AGENT_SHARE_HOLD_H

#include "keys/share_item.h"

#define SHARE_HOLD_MAX 16384 /* connections of a process; of others nothing is released, and they are counted */

struct share_hold;

/* NULL: too many, counted, or no memory. */
must_check struct share_hold *share_hold_new(void);
/* The connection is no more: its keys are released, but where another process may go on with it. NULL is allowed. */
void share_hold_free(struct share_hold *hold);
/* As if it were freed and made again: another connection has it now, which nobody has stopped. */
void share_hold_anew(struct share_hold *hold);

/*
 * The read side has begun an epoch, of which this is the key, with all that is to be said of it. The key before it is left
 * now, and goes out with share_hold_release: not while the library is still at it. Copied.
 */
void share_hold_key(struct share_hold *hold, const struct share_item *item);
/* What the read side has left is released. */
void share_hold_release(struct share_hold *hold);
/* The read side takes nothing any more: all is released. */
void share_hold_close(struct share_hold *hold);
/* Nothing is released any more, what is held included. */
void share_hold_stop(struct share_hold *hold);

/* Once. */
void share_hold_begin(void);
/* The process ends: what is held goes out when it has. */
void share_hold_end(void);

#endif
