/*
 * proxy/bucket.h — a bucket of tokens: as much at once as it holds, then as fast as it fills. No clock: time is an
 * argument, of clock_monotonic_ns.
 */
#ifndef PROXY_BUCKET_H
#define PROXY_BUCKET_H

#include "base/attr.h"
#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	double tokens; /* below zero: taken on credit */
	uint64_t filled_ns;
};

static inline void bucket_fill(struct bucket *bucket, uint32_t per_s, uint32_t cap, uint64_t now_ns)
{
	bucket->tokens += (double)(now_ns - bucket->filled_ns) / (double)NS_PER_S * per_s;
	bucket->filled_ns = now_ns;
	if (bucket->tokens > cap)
		bucket->tokens = cap;
}

/* False when it holds none. */
must_check static inline bool bucket_take(struct bucket *bucket, uint32_t per_s, uint32_t cap, uint64_t now_ns)
{
	bucket_fill(bucket, per_s, cap, now_ns);
	if (bucket->tokens < 1)
		return false;
	bucket->tokens -= 1;
	return true;
}

#endif
