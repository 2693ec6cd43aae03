/*
 * agent/share_pool.h — memory for things with keys in them, all of one size: locked as far as RLIMIT_MEMLOCK allows, left
 * out of core dumps, wiped when it is given back, and locked again in a child of fork. Never given back to the system.
 * Any thread; libc only.
 */
#ifndef AGENT_SHARE_POOL_H
#define AGENT_SHARE_POOL_H

#include "base/bytes.h"

#include <pthread.h>

#define SHARE_POOL_CHUNK  64 /* things that are made at a time */
#define SHARE_POOL_CHUNKS 256
#define SHARE_POOL_MAX    ((size_t)SHARE_POOL_CHUNK * SHARE_POOL_CHUNKS) /* things of a pool */

struct share_pool_slot;

/* Static, from SHARE_POOL_OF. Its fields are its own. */
struct share_pool {
	size_t size; /* of a slot */
	pthread_mutex_t lock;
	struct share_pool *next; /* of those that have memory */
	void *chunks[SHARE_POOL_CHUNKS];
	size_t chunk_count;
	struct share_pool_slot *unused;
};

/* What stands in front of a thing. */
struct share_pool_slot {
	_Alignas(max_align_t) struct share_pool_slot *next; /* among the free ones */
};

#define SHARE_POOL_OF(type)                                                                                            \
	{                                                                                                              \
		.size = sizeof(struct {                                                                                \
			struct share_pool_slot slot;                                                                   \
			type thing;                                                                                    \
		}),                                                                                                    \
		.lock = PTHREAD_MUTEX_INITIALIZER                                                                      \
	}

/* Zeroed. NULL: there are SHARE_POOL_MAX, or there is no memory. */
must_check void *share_pool_take(struct share_pool *pool);
/* Wipes it. NULL is allowed. */
void share_pool_put(struct share_pool *pool, void *thing);
/*
 * Each thing that there is, those that are free (zeroed) included. Without a lock, as the end of a process wants it: other
 * threads may be at them.
 */
void share_pool_each(const struct share_pool *pool, void (*visit)(void *thing));

#endif
