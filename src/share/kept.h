/*
 * share/kept.h — batches that the collector refused for the time being (it lacks a grant that is on its way, its log cannot
 * be written, it is full): sent again for a while. Up to a number. No I/O, no clock; what is kept is sealed.
 */
#ifndef SHARE_KEPT_H
#define SHARE_KEPT_H

#include "share/batch.h"

#define KEPT_MAX    16 /* batches; more are refused at once */
#define KEPT_FOR_NS UINT64_C(30000000000)
#define KEPT_STEP   UINT64_C(1000000000) /* ns between attempts */

struct kept_batch {
	struct batch batch;         /* its frame is of here */
	uint64_t next_ns, until_ns; /* monotonic */
};

struct kept {
	struct kept_batch batches[KEPT_MAX];
	size_t count;
};

/* Whether what was refused for this reason may be taken later. */
must_check bool kept_worth(enum courier_why why);
/* Copies the batch with its frame. False when there is no room. */
must_check bool kept_add(
	struct kept *kept, const struct batch *batch, const struct courier_taken *taken, uint64_t now_ns);
/* One whose turn it is; NULL: none. With `all`, whosever. */
must_check struct kept_batch *kept_due(struct kept *kept, uint64_t now_ns, bool all);
/* It is done with. */
void kept_drop(struct kept *kept, struct kept_batch *batch);
void kept_free(struct kept *kept);

#endif
