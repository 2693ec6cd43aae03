#include "watch/slab.h"

#include <stdlib.h>

#define CHUNK_THINGS 128

struct slab_chunk {
	struct slab_chunk *next;
	max_align_t things[];
};

struct slab_spare {
	struct slab_spare *next;
};

static bool slab_grow(struct slab *slab)
{
	size_t size = sizeof(struct slab_chunk) + CHUNK_THINGS * slab->size;
	struct slab_chunk *chunk = malloc(size);
	if (!chunk)
		return false;
	chunk->next = slab->chunks;
	slab->chunks = chunk;
	slab->memory += size;
	for (size_t i = CHUNK_THINGS; i-- > 0;)
		slab_give(slab, (char *)chunk->things + i * slab->size);
	return true;
}

void *slab_take(struct slab *slab)
{
	if (!slab->spare && !slab_grow(slab))
		return NULL;
	struct slab_spare *spare = slab->spare;
	slab->spare = spare->next;
	return spare;
}

void slab_give(struct slab *slab, void *thing)
{
	struct slab_spare *spare = thing;
	spare->next = slab->spare;
	slab->spare = spare;
}

void slab_free(struct slab *slab)
{
	while (slab->chunks) {
		struct slab_chunk *chunk = slab->chunks;
		slab->chunks = chunk->next;
		free(chunk);
	}
	slab->spare = NULL;
	slab->memory = 0;
}
