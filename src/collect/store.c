#include "collect/store.h"

#include "base/hash.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

#define OCTETS_MIN ((size_t)64 * 1024)
#define PER_ITEM   256 /* a sealed key has some 350 octets: there are never more keys than one for each of these */

/* The place of a key, without its check. */
struct place {
	uint8_t key_id[SEAL_KEY_ID];
	uint8_t grant[RELEASE_GRANT];
	uint8_t client_random[KEYLOG_RANDOM];
	uint32_t epoch;
	uint8_t from_client, grade;
};

struct item {
	uint64_t at;   /* of its octets: counts on, taken modulo the size */
	uint64_t hash; /* of its place */
	uint64_t came_ns, wall_ns;
	struct store_owner *owner; /* NULL: has gone */
	uint64_t next;             /* item of the same bucket that came before, by number + 1; 0: none */
	uint32_t len;              /* 0: dropped */
	uint32_t tag;
	uint8_t check[RELEASE_CHECK];
};

struct store {
	uint8_t *octets;
	size_t size, mask; /* of `octets` */
	struct item *items;
	size_t item_mask;
	uint64_t *buckets; /* number + 1 of the newest item */
	size_t bucket_mask;
	uint64_t first, end; /* numbers */
	uint64_t head, tail; /* of octets: `head` of the oldest, `tail` free */
	struct store_limits limits;
	struct store_counts counts;
};

static size_t power_of_two(size_t wanted)
{
	size_t size = OCTETS_MIN;
	while (size < wanted && size < SIZE_MAX / 4)
		size *= 2;
	return size;
}

struct store *store_new(const struct store_limits *limits)
{
	struct store *store = calloc(1, sizeof(*store));
	if (!store)
		return NULL;
	store->limits = *limits;
	store->size = power_of_two(limits->octets);
	store->mask = store->size - 1;
	size_t count = store->size / PER_ITEM;
	store->item_mask = store->bucket_mask = count - 1;
	store->items = calloc(count, sizeof(*store->items));
	store->buckets = calloc(count, sizeof(*store->buckets));
	void *room =
		mmap(NULL, store->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	store->octets = room == MAP_FAILED ? NULL : room;
	if (!store->items || !store->buckets || !store->octets) {
		store_free(store);
		return NULL;
	}
	(void)madvise(room, store->size, MADV_DONTDUMP);
	/* As pages come to be used, and as far as the limit allows: the octets are sealed, so that refusal is no danger. */
	(void)mlock2(room, store->size, MLOCK_ONFAULT);
	return store;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	if (store->octets) {
		if (store->tail > 0)
			OPENSSL_cleanse(store->octets, store->tail < store->size ? store->tail : store->size);
		munmap(store->octets, store->size);
	}
	free(store->items);
	free(store->buckets);
	free(store);
}

static struct item *item_of(const struct store *store, uint64_t number)
{
	return &store->items[number & store->item_mask];
}

static uint64_t place_hash(const struct seal_head *head)
{
	struct place place;
	memset(&place, 0, sizeof(place)); /* with what may lie between the fields */
	memcpy(place.key_id, head->key_id, SEAL_KEY_ID);
	memcpy(place.grant, head->grant, RELEASE_GRANT);
	memcpy(place.client_random, head->client_random, KEYLOG_RANDOM);
	place.epoch = head->epoch;
	place.from_client = head->from_client;
	place.grade = head->grade;
	return hash_bytes(bytes_of(&place, sizeof(place)));
}

static void wipe(struct store *store, uint64_t number)
{
	struct item *item = item_of(store, number);
	if (item->len == 0)
		return;
	OPENSSL_cleanse(store->octets + (item->at & store->mask), item->len);
	if (item->owner) {
		item->owner->octets -= item->len;
		item->owner->keys--;
	}
	store->counts.held--;
	store->counts.octets -= item->len;
	item->len = 0;
}

/* The oldest leaves. It is the last of its bucket's chain: numbers below `first` end a chain wherever they stand. */
static void leave(struct store *store)
{
	wipe(store, store->first);
	store->first++;
	store->head = store->first == store->end ? store->tail : item_of(store, store->first)->at;
}

static uint64_t hash_of(const struct seal_head *head)
{
	uint64_t hash = place_hash(head);
	/* Each raw line is a place of its own. */
	return head->grade == RELEASE_GRADE_RAW ? hash ^ hash_bytes(bytes_of(head->check, RELEASE_CHECK)) : hash;
}

/* Whether the bucket's chain has this place with this check already, as which number, and with how many others. */
static enum store_result known(
	const struct store *store, uint64_t hash, const uint8_t check[static RELEASE_CHECK], uint64_t *number)
{
	unsigned others = 0;
	uint64_t next = store->buckets[hash & store->bucket_mask];
	while (next > store->first) {
		const struct item *item = item_of(store, next - 1);
		if (item->hash == hash && item->len > 0) {
			if (memcmp(item->check, check, RELEASE_CHECK) == 0) {
				*number = next - 1;
				return STORE_KNOWN;
			}
			others++;
		}
		next = item->next;
	}
	/* Raw lines of one connection are many, each with another label: nothing there contradicts. */
	return others == 0 ? STORE_FRESH : others < STORE_CONTRADICTIONS ? STORE_CONTRADICTS : STORE_FULL;
}

/* Where `len` octets go without passing the end of the memory: what is left there stays unused until it comes round. */
static uint64_t place_for(const struct store *store, size_t len)
{
	size_t at = store->tail & store->mask;
	return at + len <= store->size ? store->tail : store->tail + (store->size - at);
}

static void make_room(struct store *store, uint64_t at, size_t len)
{
	while (store->first < store->end &&
		(at + len - store->head > store->size || store->end - store->first > store->item_mask)) {
		store->counts.evicted += item_of(store, store->first)->len > 0;
		leave(store);
	}
	if (store->first == store->end)
		store->head = at;
}

static void append(struct store *store, const struct item *item, struct bytes sealed)
{
	uint64_t number = store->end++;
	uint64_t *bucket = &store->buckets[item->hash & store->bucket_mask];
	struct item *to = item_of(store, number);
	*to = *item;
	to->next = *bucket;
	*bucket = number + 1;
	memcpy(store->octets + (item->at & store->mask), sealed.data, sealed.len);
	store->tail = item->at + sealed.len;
	store->counts.held++;
	store->counts.octets += sealed.len;
	if (item->owner) {
		item->owner->octets += sealed.len;
		item->owner->keys++;
	}
}

enum store_result store_put(struct store *store, struct store_owner *owner, const struct seal_head *head,
	struct bytes sealed, uint32_t tag, uint64_t now_ns, uint64_t wall_ns)
{
	uint64_t hash = hash_of(head), number;
	enum store_result result = known(store, hash, head->check, &number);
	bool room = sealed.len > 0 && sealed.len <= store->size / 4 &&
	            (!owner || owner->octets + sealed.len <= store->limits.owner_octets);
	if (result == STORE_KNOWN) {
		store->counts.known++;
		return result;
	}
	if (result == STORE_FULL || !room) {
		store->counts.refused++;
		return STORE_FULL;
	}
	struct item item = {.at = place_for(store, sealed.len),
		.hash = hash,
		.came_ns = now_ns,
		.wall_ns = wall_ns,
		.owner = owner,
		.len = (uint32_t)sealed.len,
		.tag = tag};
	memcpy(item.check, head->check, RELEASE_CHECK);
	make_room(store, item.at, sealed.len);
	append(store, &item, sealed);
	store->counts.fresh++;
	store->counts.contradictory += result == STORE_CONTRADICTS;
	return result;
}

uint64_t store_first(const struct store *store)
{
	return store->first;
}

uint64_t store_end(const struct store *store)
{
	return store->end;
}

bool store_at(const struct store *store, uint64_t number, struct store_item *out)
{
	if (number < store->first || number >= store->end || item_of(store, number)->len == 0)
		return false;
	const struct item *item = item_of(store, number);
	*out = (struct store_item){.sealed = bytes_of(store->octets + (item->at & store->mask), item->len),
		.wall_ns = item->wall_ns,
		.tag = item->tag};
	return true;
}

bool store_find(const struct store *store, const struct seal_head *head, uint64_t *number)
{
	return known(store, hash_of(head), head->check, number) == STORE_KNOWN;
}

void store_drop(struct store *store, uint64_t number)
{
	if (number >= store->first && number < store->end)
		wipe(store, number);
}

void store_expire(struct store *store, uint64_t now_ns)
{
	while (store->first < store->end) {
		const struct item *oldest = item_of(store, store->first);
		if (now_ns < oldest->came_ns || now_ns - oldest->came_ns < store->limits.lifetime_ns)
			break;
		store->counts.expired += oldest->len > 0;
		leave(store);
	}
}

void store_disown(struct store *store, struct store_owner *owner)
{
	for (uint64_t number = store->first; owner->keys > 0 && number < store->end; number++) {
		struct item *item = item_of(store, number);
		if (item->len == 0 || item->owner != owner)
			continue;
		item->owner = NULL;
		owner->octets -= item->len;
		owner->keys--;
	}
}

struct store_counts store_count(const struct store *store)
{
	return store->counts;
}
