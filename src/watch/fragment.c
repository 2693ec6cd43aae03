#include "watch/fragment.h"

#include "base/hash.h"

#include <stdlib.h>

/* Fragments begin at multiples of 8 octets; what is there is known by such units. */
#define UNIT      8
#define UNITS_MAX ((FRAGMENT_DATAGRAM_MAX + UNIT - 1) / UNIT)

struct datagram {
	struct fragment_key key;
	uint64_t hash, first_ns;
	struct datagram *next;          /* of its bucket, or of those that are free */
	struct datagram *older, *newer; /* by arrival of the first fragment */
	uint8_t *data;
	size_t room;
	size_t highest; /* end of the furthest fragment */
	size_t total;   /* 0: the last fragment was not seen */
	size_t units;   /* there */
	uint8_t protocol;
	bool contradicted; /* holds no data any more, and takes none */
	uint64_t there[UNITS_MAX / 64 + 1];
};

struct fragments {
	struct fragment_limits limits;
	struct fragment_counts counts;
	struct datagram *oldest, *newest;
	uint8_t *done;         /* the data given out by the last call */
	struct datagram *pool; /* as many as the limits say */
	size_t begun;          /* of it, from the front */
	struct datagram *unused;
	size_t mask;
	struct datagram *buckets[];
};

struct fragments *fragments_new(struct fragment_limits limits)
{
	size_t buckets = 1;
	while (buckets < limits.datagrams && buckets < SIZE_MAX / 2 / sizeof(struct datagram *))
		buckets *= 2;
	struct fragments *fragments = calloc(1, sizeof(*fragments) + buckets * sizeof(struct datagram *));
	if (!fragments)
		return NULL;
	fragments->limits = limits;
	fragments->mask = buckets - 1;
	/* Only what is used of it becomes memory. */
	fragments->pool = calloc(limits.datagrams, sizeof(*fragments->pool));
	if (!fragments->pool) {
		free(fragments);
		return NULL;
	}
	return fragments;
}

static void drop_data(struct fragments *fragments, struct datagram *datagram)
{
	fragments->counts.octets -= datagram->room;
	free(datagram->data);
	datagram->data = NULL;
	datagram->room = 0;
}

/* Out of the table and free for another; its data is the caller's. */
static uint8_t *take_out(struct fragments *fragments, struct datagram *datagram)
{
	struct datagram **at = &fragments->buckets[datagram->hash & fragments->mask];
	while (*at != datagram)
		at = &(*at)->next;
	*at = datagram->next;
	if (datagram->older)
		datagram->older->newer = datagram->newer;
	else
		fragments->oldest = datagram->newer;
	if (datagram->newer)
		datagram->newer->older = datagram->older;
	else
		fragments->newest = datagram->older;
	fragments->counts.held--;
	fragments->counts.octets -= datagram->room;
	datagram->next = fragments->unused;
	fragments->unused = datagram;
	return datagram->data;
}

void fragments_free(struct fragments *fragments)
{
	if (!fragments)
		return;
	while (fragments->oldest)
		free(take_out(fragments, fragments->oldest));
	free(fragments->done);
	free(fragments->pool);
	free(fragments);
}

static void evict(struct fragments *fragments, struct datagram *datagram, uint64_t *counter)
{
	free(take_out(fragments, datagram));
	/* What is kept only to refuse more of it was counted when it was contradicted. */
	if (!datagram->contradicted)
		(*counter)++;
}

static void let_age(struct fragments *fragments, uint64_t now_ns)
{
	struct datagram *next;
	for (struct datagram *one = fragments->oldest; one; one = next) {
		if (now_ns <= one->first_ns || now_ns - one->first_ns <= FRAGMENT_AGE_NS)
			return;
		next = one->newer;
		evict(fragments, one, &fragments->counts.aged);
	}
}

static struct datagram *find(const struct fragments *fragments, const struct fragment_key *key, uint64_t hash)
{
	struct datagram *datagram = fragments->buckets[hash & fragments->mask];
	while (datagram && (datagram->hash != hash ||
				   !bytes_equal(bytes_of(&datagram->key, sizeof(*key)), bytes_of(key, sizeof(*key)))))
		datagram = datagram->next;
	return datagram;
}

static struct datagram *add(struct fragments *fragments, const struct fragment_key *key, uint64_t hash, uint64_t now_ns)
{
	if (fragments->counts.held >= fragments->limits.datagrams)
		evict(fragments, fragments->oldest, &fragments->counts.evicted);
	struct datagram *datagram = fragments->unused;
	if (datagram)
		fragments->unused = datagram->next;
	else
		datagram = &fragments->pool[fragments->begun++];
	*datagram = (struct datagram){0};
	datagram->key = *key;
	datagram->hash = hash;
	datagram->first_ns = now_ns;
	datagram->next = fragments->buckets[hash & fragments->mask];
	fragments->buckets[hash & fragments->mask] = datagram;
	datagram->older = fragments->newest;
	if (fragments->newest)
		fragments->newest->newer = datagram;
	else
		fragments->oldest = datagram;
	fragments->newest = datagram;
	fragments->counts.held++;
	return datagram;
}

static enum link_result contradict(struct fragments *fragments, struct datagram *datagram)
{
	if (!datagram->contradicted)
		fragments->counts.overlaps++;
	datagram->contradicted = true;
	drop_data(fragments, datagram);
	return LINK_FRAGMENT_OVERLAP;
}

/* Memory up to `end`, at the cost of older datagrams. */
static bool make_room(struct fragments *fragments, struct datagram *datagram, size_t end)
{
	if (end <= datagram->room)
		return true;
	/* Doubling, so that many small fragments do not copy it each time. */
	size_t room = datagram->room * 2 > end ? datagram->room * 2 : end;
	if (room > FRAGMENT_DATAGRAM_MAX)
		room = FRAGMENT_DATAGRAM_MAX;
	size_t more = room - datagram->room;
	while (fragments->counts.octets + more > fragments->limits.octets && fragments->oldest != datagram)
		evict(fragments, fragments->oldest, &fragments->counts.evicted);
	if (fragments->counts.octets + more > fragments->limits.octets)
		return false;
	uint8_t *grown = realloc(datagram->data, room);
	if (!grown)
		return false;
	datagram->data = grown;
	datagram->room = room;
	fragments->counts.octets += more;
	return true;
}

/* Whether the end that a fragment tells or needs agrees with what others told. */
static bool end_agrees(struct datagram *datagram, const struct fragment *fragment, size_t end)
{
	if (datagram->total != 0 && (fragment->more ? end > datagram->total : end != datagram->total))
		return false;
	if (!fragment->more && datagram->highest > end)
		return false;
	if (!fragment->more)
		datagram->total = end;
	if (datagram->highest < end)
		datagram->highest = end;
	return true;
}

/* Copies what is new. False when what was there says otherwise. */
static bool copy(struct datagram *datagram, const struct fragment *fragment)
{
	struct bytes rest = fragment->bytes, part;
	for (size_t unit = fragment->offset / UNIT; rest.len > 0; unit++) {
		if (!bytes_take(&rest, rest.len < UNIT ? rest.len : UNIT, &part))
			return false;
		uint64_t bit = UINT64_C(1) << (unit % 64);
		uint8_t *place = datagram->data + unit * UNIT;
		if (datagram->there[unit / 64] & bit) {
			if (memcmp(place, part.data, part.len) != 0)
				return false;
			continue;
		}
		memcpy(place, part.data, part.len);
		datagram->there[unit / 64] |= bit;
		datagram->units++;
	}
	return true;
}

static enum link_result take(struct fragments *fragments, const struct fragment *fragment, uint64_t now_ns,
	struct bytes *out, uint8_t *protocol)
{
	size_t end = (size_t)fragment->offset + fragment->bytes.len;
	if (fragment->bytes.len == 0 || fragment->offset % UNIT != 0 || end > FRAGMENT_DATAGRAM_MAX ||
		(fragment->more && fragment->bytes.len % UNIT != 0))
		return LINK_FRAGMENT_BAD;
	let_age(fragments, now_ns);
	uint64_t hash = hash_bytes(bytes_of(&fragment->key, sizeof(fragment->key)));
	struct datagram *datagram = find(fragments, &fragment->key, hash);
	if (!datagram)
		datagram = add(fragments, &fragment->key, hash, now_ns);
	if (datagram->contradicted)
		return LINK_FRAGMENT_OVERLAP;
	if (!end_agrees(datagram, fragment, end))
		return contradict(fragments, datagram);
	if (!make_room(fragments, datagram, end)) {
		evict(fragments, datagram, &fragments->counts.evicted);
		return LINK_FRAGMENT_FULL;
	}
	if (fragment->offset == 0)
		datagram->protocol = fragment->protocol;
	if (!copy(datagram, fragment))
		return contradict(fragments, datagram);
	if (datagram->total == 0 || datagram->units != (datagram->total + UNIT - 1) / UNIT)
		return LINK_HELD;
	*out = bytes_of(datagram->data, datagram->total);
	*protocol = datagram->protocol;
	fragments->counts.completed++;
	fragments->done = take_out(fragments, datagram);
	return LINK_PACKET;
}

enum link_result fragments_take(struct fragments *fragments, const struct fragment *fragment, uint64_t now_ns,
	struct bytes *datagram, uint8_t *protocol)
{
	/*
	 * A fragment may itself lie in the datagram given out last, where a tunnel carries fragments: that one goes
	 * only now.
	 */
	uint8_t *before = fragments->done;
	fragments->done = NULL;
	enum link_result result = take(fragments, fragment, now_ns, datagram, protocol);
	free(before);
	return result;
}

struct fragment_counts fragments_count(const struct fragments *fragments)
{
	return fragments->counts;
}

uint64_t fragments_lost(const struct fragments *fragments)
{
	struct fragment_counts counts = fragments_count(fragments);
	return counts.overlaps + counts.aged + counts.evicted + counts.held;
}
