#include "share/kept.h"

#include <stdlib.h>

bool kept_worth(enum courier_why why)
{
	return why == COURIER_WHY_NO_GRANT || why == COURIER_WHY_LOG || why == COURIER_WHY_FULL ||
	       why == COURIER_WHY_RATE;
}

bool kept_add(struct kept *kept, const struct batch *batch, const struct courier_taken *taken, uint64_t now_ns)
{
	uint8_t *copy = kept->count < KEPT_MAX ? malloc(batch->len) : NULL;
	if (!copy)
		return false;
	memcpy(copy, batch->frame, batch->len);
	struct kept_batch *to = &kept->batches[kept->count++];
	*to = (struct kept_batch){.batch = *batch, .next_ns = now_ns + KEPT_STEP, .until_ns = now_ns + KEPT_FOR_NS};
	to->batch.frame = copy;
	to->batch.taken = taken->fresh + taken->known;
	return true;
}

struct kept_batch *kept_due(struct kept *kept, uint64_t now_ns, bool all)
{
	for (size_t i = 0; i < kept->count; i++) {
		if (all || now_ns >= kept->batches[i].next_ns)
			return &kept->batches[i];
	}
	return NULL;
}

void kept_drop(struct kept *kept, struct kept_batch *batch)
{
	free(batch->batch.frame);
	kept->count--;
	for (struct kept_batch *end = &kept->batches[kept->count]; batch < end; batch++)
		*batch = batch[1];
}

void kept_free(struct kept *kept)
{
	while (kept->count > 0)
		kept_drop(kept, &kept->batches[0]);
}
