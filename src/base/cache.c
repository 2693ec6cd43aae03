#include "base/cache.h"

#include "base/hash.h"

#include <stdlib.h>

struct entry {
	struct entry *chain;         /* next in its slot */
	struct entry *older, *newer; /* by use */
	uint64_t hash;
	void *value;
	size_t key_len;
	uint8_t key[];
};

struct cache {
	struct entry **slots;
	size_t slot_count; /* a power of two */
	struct entry *oldest, *newest;
	void (*drop)(void *value);
	struct cache_counts counts;
};

#define SLOTS_FIRST 16

struct cache *cache_new(size_t cap, void (*drop)(void *value))
{
	struct cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return NULL;
	cache->slots = calloc(SLOTS_FIRST, sizeof(struct entry *));
	if (!cache->slots) {
		free(cache);
		return NULL;
	}
	cache->slot_count = SLOTS_FIRST;
	cache->drop = drop;
	cache->counts.cap = cap;
	return cache;
}

static struct entry **slot_of(const struct cache *cache, uint64_t hash)
{
	return &cache->slots[hash & (cache->slot_count - 1)];
}

static struct entry *find(const struct cache *cache, struct bytes key, uint64_t hash)
{
	for (struct entry *e = *slot_of(cache, hash); e; e = e->chain) {
		if (e->hash == hash && bytes_equal(bytes_of(e->key, e->key_len), key))
			return e;
	}
	return NULL;
}

static void order_leave(struct cache *cache, struct entry *e)
{
	*(e->older ? &e->older->newer : &cache->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &cache->newest) = e->older;
}

static void order_enter(struct cache *cache, struct entry *e)
{
	e->newer = NULL;
	e->older = cache->newest;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = e;
	cache->newest = e;
}

static void *take_out(struct cache *cache, struct entry *e)
{
	struct entry **at = slot_of(cache, e->hash);
	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	order_leave(cache, e);
	cache->counts.held--;
	void *value = e->value;
	free(e);
	return value;
}

static void drop_value(const struct cache *cache, void *value)
{
	if (cache->drop)
		cache->drop(value);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	while (cache->oldest)
		drop_value(cache, take_out(cache, cache->oldest));
	free(cache->slots);
	free(cache);
}

void *cache_get(struct cache *cache, struct bytes key)
{
	struct entry *e = find(cache, key, hash_bytes(key));
	if (!e) {
		cache->counts.misses++;
		return NULL;
	}
	cache->counts.hits++;
	order_leave(cache, e);
	order_enter(cache, e);
	return e->value;
}

/* Doubling keeps chains short; where memory is refused the old table still serves. */
static void grow(struct cache *cache)
{
	size_t old_count = cache->slot_count;
	struct entry **wider = calloc(old_count * 2, sizeof(struct entry *));
	if (!wider)
		return;
	struct entry **old = cache->slots;
	cache->slots = wider;
	cache->slot_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct entry *e = old[i], *next; e; e = next) {
			next = e->chain;
			struct entry **slot = slot_of(cache, e->hash);
			e->chain = *slot;
			*slot = e;
		}
	}
	free(old);
}

bool cache_put(struct cache *cache, struct bytes key, void *value)
{
	uint64_t hash = hash_bytes(key);
	struct entry *old = find(cache, key, hash);
	if (old)
		drop_value(cache, take_out(cache, old));
	struct entry *e = malloc(sizeof(*e) + key.len);
	if (!e) {
		drop_value(cache, value);
		return false;
	}
	if (cache->counts.held >= cache->counts.cap) {
		drop_value(cache, take_out(cache, cache->oldest));
		cache->counts.evicted++;
	}
	if (cache->counts.held >= cache->slot_count)
		grow(cache);
	*e = (struct entry){.hash = hash, .value = value, .key_len = key.len};
	if (key.len > 0)
		memcpy(e->key, key.data, key.len);
	struct entry **slot = slot_of(cache, hash);
	e->chain = *slot;
	*slot = e;
	order_enter(cache, e);
	cache->counts.held++;
	return true;
}

bool cache_remove(struct cache *cache, struct bytes key)
{
	struct entry *e = find(cache, key, hash_bytes(key));
	if (!e)
		return false;
	drop_value(cache, take_out(cache, e));
	return true;
}

void *cache_steal(struct cache *cache, struct bytes key)
{
	struct entry *e = find(cache, key, hash_bytes(key));
	return e ? take_out(cache, e) : NULL;
}

void cache_each(struct cache *cache, void (*visit)(struct bytes key, void *value, void *ctx), void *ctx)
{
	for (struct entry *e = cache->oldest, *next; e; e = next) {
		next = e->newer;
		visit(bytes_of(e->key, e->key_len), e->value, ctx);
	}
}

struct cache_counts cache_count(const struct cache *cache)
{
	return cache->counts;
}
