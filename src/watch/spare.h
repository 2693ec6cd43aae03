/*
 * watch/spare.h — things of one size that come and go with every connection: some that were given back are kept for the
 * next, so that the allocator is asked rarely, and no more than some, so that a rush does not stay in memory. No I/O.
 */
#ifndef WATCH_SPARE_H
#define WATCH_SPARE_H

#include "base/attr.h"

#include <stdlib.h>
#include <string.h>

#define SPARE_MAX 64

/* Zeroed but for `size` when new; spare_free before it goes away. */
struct spare {
	size_t size; /* of one thing, in octets */
	unsigned count;
	void *things[SPARE_MAX];
};

/* Zeroed. NULL without memory. */
must_check static inline void *spare_take(struct spare *spare)
{
	if (spare->count == 0)
		return calloc(1, spare->size);
	return memset(spare->things[--spare->count], 0, spare->size);
}

/* Secrets in it have been wiped. NULL is allowed. */
static inline void spare_give(struct spare *spare, void *thing)
{
	if (thing && spare->count < SPARE_MAX)
		spare->things[spare->count++] = thing;
	else
		free(thing);
}

static inline void spare_free(struct spare *spare)
{
	while (spare->count > 0)
		free(spare->things[--spare->count]);
}

#endif
