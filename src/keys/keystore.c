#include "keys/keystore.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * A ring of entries in one piece of memory. Places are counted from the beginning of time and never repeat: `tail` is
 * the oldest entry that is held, `head` where the next one goes; what lies before `tail` is gone. Entries of one bucket
 * are chained from the newest backwards, so that an entry leaves by being overtaken and no chain need be mended.
 */
struct entry {
	uint64_t before; /* place of the next older entry of the bucket; NOWHERE: none */
	struct keylog_id id;
	uint16_t len; /* of the secret */
	uint32_t epoch;
	uint16_t label;
	uint32_t size;     /* of all this, padded; what the next entry follows */
	uint32_t previous; /* size of the entry before it, with what was left free behind that; 0: the first of all */
	uint8_t octets[];
};

#define NOWHERE       UINT64_MAX
#define ALIGNMENT     8
#define CAP_LEAST     ((size_t)64 * 1024)
#define OCTETS_A_HEAD 256 /* of the ring for each bucket: two entries of the usual size */
#define PAD(n)        (((n) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

struct keystore {
	uint8_t *ring;
	size_t cap; /* a power of two */
	uint64_t head, tail;
	uint64_t *buckets; /* places of the newest entries */
	size_t bucket_count;
	uint32_t newest; /* size of the newest entry, with what lies free behind it */
	struct keystore_counts counts;
};

static uint8_t *ring_new(size_t cap)
{
	void *ring = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return NULL;
	/* Both are best effort: neither is worth refusing to work. */
	(void)!madvise(ring, cap, MADV_DONTDUMP);
	(void)!mlock2(ring, cap, MLOCK_ONFAULT);
	return ring;
}

struct keystore *keystore_new(size_t cap)
{
	struct keystore *store = calloc(1, sizeof(*store));
	size_t size = CAP_LEAST;
	while (size < cap && size <= SIZE_MAX / 4)
		size *= 2;
	if (!store)
		return NULL;
	store->cap = size;
	store->bucket_count = size / OCTETS_A_HEAD;
	store->ring = ring_new(size);
	store->buckets = malloc(store->bucket_count * sizeof(*store->buckets));
	if (!store->ring || !store->buckets) {
		keystore_free(store);
		return NULL;
	}
	for (size_t i = 0; i < store->bucket_count; i++)
		store->buckets[i] = NOWHERE;
	store->counts.cap = size;
	return store;
}

void keystore_free(struct keystore *store)
{
	if (!store)
		return;
	if (store->ring) {
		/* Only what was ever written: the rest of the mapping has no pages. */
		OPENSSL_cleanse(store->ring, store->head < store->cap ? (size_t)store->head : store->cap);
		munmap(store->ring, store->cap);
	}
	free(store->buckets);
	free(store);
}

/* Entries are aligned and never go over the end of the ring. */
static struct entry *entry_at(const struct keystore *store, uint64_t place)
{
	return (struct entry *)(void *)&store->ring[place & (store->cap - 1)];
}

static uint64_t *bucket_of(const struct keystore *store, const struct keylog_id *id)
{
	return &store->buckets[keylog_id_hash(id) & (store->bucket_count - 1)];
}

static bool held(const struct keystore *store, uint64_t place)
{
	return place != NOWHERE && place >= store->tail;
}

static struct bytes entry_secret(const struct entry *entry)
{
	return bytes_of(entry->octets, entry->len);
}

/* Lets the oldest entry go. */
static void evict(struct keystore *store)
{
	struct entry *oldest = entry_at(store, store->tail);
	uint32_t size = oldest->size;
	OPENSSL_cleanse(oldest, size);
	store->tail += size;
	store->counts.evicted++;
	store->counts.held--;
}

/* What is left before the ring's end and too small for the next entry is given to the newest one. */
static void wrap(struct keystore *store, uint32_t left)
{
	if (store->head == 0 || left == 0)
		return;
	while (store->head + left - store->tail > store->cap)
		evict(store);
	if (store->head > store->tail)
		entry_at(store, store->head - store->newest)->size += left;
	else
		store->tail += left;
	store->newest += left;
	store->head += left;
}

static struct entry *entry_new(struct keystore *store, size_t secret_len)
{
	uint32_t size = (uint32_t)PAD(sizeof(struct entry) + secret_len);
	uint32_t left = (uint32_t)(store->cap - (store->head & (store->cap - 1)));
	if (left < size)
		wrap(store, left);
	while (store->head + size - store->tail > store->cap)
		evict(store);
	struct entry *entry = entry_at(store, store->head);
	*entry = (struct entry){.size = size, .previous = store->newest};
	return entry;
}

/* The very secret is there; `*of_id` is how many of its session are, when it is not. */
static bool is_there(const struct keystore *store, const struct keystore_entry *sought, size_t *of_id)
{
	*of_id = 0;
	for (uint64_t at = *bucket_of(store, &sought->id); held(store, at); at = entry_at(store, at)->before) {
		const struct entry *e = entry_at(store, at);
		if (!keylog_id_equal(&e->id, &sought->id))
			continue;
		++*of_id;
		if (e->label == sought->label && e->epoch == sought->epoch &&
			bytes_equal_secret(entry_secret(e), sought->secret))
			return true;
	}
	return false;
}

enum keystore_result keystore_add(struct keystore *store, const struct keylog_id *id, enum keylog_label label,
	uint32_t epoch, struct bytes secret)
{
	struct keystore_entry sought = {.id = *id, .label = label, .epoch = epoch, .secret = secret};
	size_t of_id;
	if (secret.len > KEYLOG_MAX_SECRET)
		return KEYSTORE_TOO_LONG;
	if (is_there(store, &sought, &of_id)) {
		store->counts.duplicates++;
		return KEYSTORE_DUPLICATE;
	}
	if (of_id >= KEYSTORE_PER_ID) {
		store->counts.refused++;
		return KEYSTORE_REFUSED;
	}
	struct entry *entry = entry_new(store, secret.len);
	uint64_t *bucket = bucket_of(store, id);
	entry->before = held(store, *bucket) ? *bucket : NOWHERE;
	entry->id = *id;
	entry->label = (uint16_t)label;
	entry->epoch = epoch;
	entry->len = (uint16_t)secret.len;
	if (secret.len)
		memcpy(entry->octets, secret.data, secret.len);
	*bucket = store->head;
	store->newest = entry->size;
	store->head += entry->size;
	store->counts.stored++;
	store->counts.held++;
	return KEYSTORE_ADDED;
}

bool keystore_add_line(struct keystore *store, struct bytes text, struct keylog_id *id)
{
	struct keylog_line line;
	uint8_t octets[KEYLOG_MAX_SECRET];
	enum keylog_result result = keylog_parse(text, &line);
	store->counts.lines++;
	if (result != KEYLOG_OK) {
		store->counts.bad += result != KEYLOG_NOTHING;
		return false;
	}
	size_t len = keylog_secret(&line, octets, sizeof(octets));
	*id = line.id;
	enum keystore_result added = keystore_add(store, id, line.label, line.epoch, bytes_of(octets, len));
	OPENSSL_cleanse(octets, len);
	return added == KEYSTORE_ADDED;
}

static struct keystore_entry shown(const struct entry *e)
{
	return (struct keystore_entry){.id = e->id, .label = e->label, .epoch = e->epoch, .secret = entry_secret(e)};
}

void keystore_find(const struct keystore *store, const struct keylog_id *id,
	void (*visit)(const struct keystore_entry *entry, void *ctx), void *ctx)
{
	/* Chains go backwards, look-ups forwards. */
	uint64_t places[KEYSTORE_PER_ID];
	size_t count = 0;
	if (store->tail == store->head)
		return;
	for (uint64_t at = *bucket_of(store, id); held(store, at); at = entry_at(store, at)->before) {
		if (keylog_id_equal(&entry_at(store, at)->id, id) && count < KEYSTORE_PER_ID)
			places[count++] = at;
	}
	while (count > 0) {
		struct keystore_entry entry = shown(entry_at(store, places[--count]));
		visit(&entry, ctx);
	}
}

struct gathering {
	struct keyset *out;
	size_t added;
};

static void gather(const struct keystore_entry *entry, void *ctx)
{
	struct gathering *gathering = ctx;
	enum keyset_result result = keyset_add(gathering->out, entry->label, entry->epoch, false, entry->secret);
	gathering->added += result == KEYSET_ADDED || result == KEYSET_CONTRADICTS;
}

size_t keystore_gather(const struct keystore *store, const struct keylog_id *id, struct keyset *out)
{
	struct gathering gathering = {.out = out};
	keystore_find(store, id, gather, &gathering);
	return gathering.added;
}

bool keystore_back(const struct keystore *store, uint64_t *at, struct keystore_entry *entry)
{
	uint64_t place;
	if (*at == UINT64_MAX)
		place = store->head - store->newest;
	else if (*at > store->tail && *at < store->head)
		place = *at - entry_at(store, *at)->previous;
	else
		return false;
	if (store->tail == store->head || place < store->tail)
		return false;
	*at = place;
	*entry = shown(entry_at(store, place));
	return true;
}

struct keystore_counts keystore_count(const struct keystore *store)
{
	struct keystore_counts counts = store->counts;
	counts.octets = store->head - store->tail;
	return counts;
}
