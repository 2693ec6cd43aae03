/*
 * base/cache.h — a table of at most `cap` values by key; when full, the value longest unused leaves and is counted.
 * One thread. Keys are copied; values belong to the cache once put and are freed by `drop`.
 */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include "base/bytes.h"

struct cache;

struct cache_counts {
	uint64_t hits, misses, evicted;
	size_t held, cap;
};

/* NULL without memory. `cap` is at least 1. `drop` may be NULL. */
must_check struct cache *cache_new(size_t cap, void (*drop)(void *value));
/* Drops every value. NULL is allowed. */
void cache_free(struct cache *cache);

/* The value, now the newest, or NULL. It stays the cache's and is valid until the next put or remove. */
must_check void *cache_get(struct cache *cache, struct bytes key);
/* Replaces (and drops) what stood under the key. False without memory: `value` was dropped then. */
bool cache_put(struct cache *cache, struct bytes key, void *value);
/* Drops the value under the key. False when there was none. */
bool cache_remove(struct cache *cache, struct bytes key);
/* Takes the value out without dropping it: it is the caller's. NULL when there was none. */
must_check void *cache_steal(struct cache *cache, struct bytes key);
/* Oldest first. `visit` must not change the cache. */
void cache_each(struct cache *cache, void (*visit)(struct bytes key, void *value, void *ctx), void *ctx);

must_check struct cache_counts cache_count(const struct cache *cache);

#endif
