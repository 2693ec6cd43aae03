/*
 * watch/slab.h — room for many things of one size: taken and given back without a call of the allocator, memory by the
 * chunk. What was allocated once is kept for later until slab_free. No I/O.
 */
#ifndef WATCH_SLAB_H
#define WATCH_SLAB_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

struct slab {
	size_t size;   /* of one thing, in octets */
	size_t memory; /* octets allocated */
	struct slab_chunk *chunks;
	struct slab_spare *spare;
};

/* `size` is at least that of a pointer and a multiple of its alignment, as that of a struct with pointers is. */
static inline struct slab slab_of(size_t size)
{
	return (struct slab){.size = size};
}

/* Not zeroed. NULL without memory. */
must_check void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *thing);
/* Frees all things, given back or not. */
void slab_free(struct slab *slab);

#endif
