/*
 * sink/shared.h — one sink for several feeds, each with a thread of its own: a handle per feed, calls in turn. Handles of
 * several sinks must be added to every feed in the same order.
 */
#ifndef SINK_SHARED_H
#define SINK_SHARED_H

#include "sink/sink.h"

struct shared_sink;

/* Takes over `inner`, freeing it on failure too. NULL without memory. */
must_check struct shared_sink *shared_sink_new(struct sink *inner);
/* A sink to be given to a feed, before any thread runs. NULL without memory. */
must_check struct sink *shared_sink_handle(struct shared_sink *shared);
/* Ends the caller's hold. The inner sink is closed with the last handle. NULL is allowed. */
void shared_sink_free(struct shared_sink *shared);
/* The inner sink's, while somebody holds it. */
must_check struct sink_counts shared_sink_count(struct shared_sink *shared);

#endif
