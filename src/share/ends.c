#include "share/ends.h"

#include "base/hash.h"
#include "tls/hello.h"

#include <stdlib.h>

#define BUCKETS 65536
#define NOBODY  UINT32_MAX

struct held {
	uint8_t random[KEYLOG_RANDOM], grant[RELEASE_GRANT], tag[ENDS_TAG];
	struct hostport client, server;
	uint64_t due_ns; /* UINT64_MAX: no such end */
	uint64_t octets; /* after which it ends; 0: no such end */
	uint32_t next;   /* of the same bucket; NOBODY: none */
	uint32_t bucket;
	bool used, tagged, over;
};

struct ends {
	struct held held[ENDS_MAX];
	uint32_t buckets[BUCKETS];
	uint32_t place;   /* that the next one takes: the oldest stands there */
	uint32_t counted; /* where counting goes on */
	size_t limited;   /* those with `octets` that are not over */
	ends_count_fn *count;
	void *arg;
	uint64_t next_ns;
	struct ends_counts counts;
};

struct ends *ends_new(ends_count_fn *count, void *arg)
{
	struct ends *ends = calloc(1, sizeof(*ends));
	if (!ends)
		return NULL;
	memset(ends->buckets, 0xff, sizeof(ends->buckets));
	ends->next_ns = UINT64_MAX;
	ends->count = count;
	ends->arg = arg;
	return ends;
}

void ends_free(struct ends *ends)
{
	free(ends);
}

static uint32_t bucket_of(const uint8_t *grant, const uint8_t *random)
{
	uint8_t key[RELEASE_GRANT + KEYLOG_RANDOM];
	memcpy(key, grant, RELEASE_GRANT);
	memcpy(key + RELEASE_GRANT, random, KEYLOG_RANDOM);
	return (uint32_t)(hash_bytes(bytes_of(key, sizeof(key))) % BUCKETS);
}

static struct held *find(struct ends *ends, const uint8_t *grant, const uint8_t *random, uint32_t bucket)
{
	for (uint32_t at = ends->buckets[bucket]; at != NOBODY; at = ends->held[at].next) {
		struct held *held = &ends->held[at];
		if (memcmp(held->grant, grant, RELEASE_GRANT) == 0 && memcmp(held->random, random, KEYLOG_RANDOM) == 0)
			return held;
	}
	return NULL;
}

static void take_out(struct ends *ends, uint32_t place)
{
	const struct held *held = &ends->held[place];
	uint32_t *at = &ends->buckets[held->bucket];
	while (*at != place)
		at = &ends->held[*at].next;
	*at = held->next;
	ends->counts.evicted += !held->over;
	ends->limited -= held->octets > 0;
	ends->counts.held--;
}

static struct held *add(struct ends *ends, const uint8_t *grant, const uint8_t *random, uint32_t bucket)
{
	uint32_t place = ends->place;
	struct held *held = &ends->held[place];
	ends->place = (place + 1) % ENDS_MAX;
	if (held->used)
		take_out(ends, place);
	*held = (struct held){.used = true, .due_ns = UINT64_MAX, .bucket = bucket, .next = ends->buckets[bucket]};
	memcpy(held->grant, grant, RELEASE_GRANT);
	memcpy(held->random, random, KEYLOG_RANDOM);
	ends->buckets[bucket] = place;
	ends->counts.held++;
	return held;
}

static void end(struct ends *ends, struct held *held)
{
	ends->limited -= held->octets > 0;
	held->over = true;
	held->due_ns = UINT64_MAX;
	held->octets = 0;
	ends->counts.over++;
}

/* What was closed meanwhile is not counted any more. */
static bool used_up(const struct ends *ends, const struct held *held)
{
	uint64_t octets;
	return held->octets > 0 && ends->count(ends->arg, &held->client, &held->server, &octets) &&
	       octets >= held->octets;
}

/* The grant's first key in this connection: after-rotation, all of its epoch has crossed already. */
static enum ends_verdict begin(struct ends *ends, const struct grant *grant, const struct release *release,
	uint32_t bucket, uint64_t now_ns, const uint8_t *tag)
{
	uint64_t octets = 0;
	bool counts = grant->until_octets == 0 || ends->count(ends->arg, &release->client, &release->server, &octets);
	if (grant_ends_within(grant) && release->key.version != TLS_VERSION_13)
		return ENDS_FIXED;
	if (grant_ends_within(grant) && release->key.epoch > 0)
		return ENDS_UNKNOWN;
	if (!counts)
		return ENDS_FIXED;
	struct held *held = add(ends, grant->id, release->key.client_random, bucket);
	held->client = release->client;
	held->server = release->server;
	if (grant->until_octets > 0 && octets >= grant->until_octets) {
		held->over = true;
		ends->counts.over++;
		return ENDS_OVER;
	}
	held->octets = grant->until_octets;
	ends->limited += held->octets > 0;
	held->tagged = tag != NULL;
	if (tag)
		memcpy(held->tag, tag, ENDS_TAG);
	if (grant->until_conn_ns) {
		held->due_ns = now_ns + grant->until_conn_ns;
		ends->next_ns = held->due_ns < ends->next_ns ? held->due_ns : ends->next_ns;
	}
	return ENDS_OPEN;
}

enum ends_verdict ends_ask(struct ends *ends, const struct grant *grant, const struct release *release, uint64_t now_ns,
	const uint8_t *tag)
{
	const uint8_t *random = release->key.client_random;
	uint32_t bucket = bucket_of(grant->id, random);
	const struct held *held = find(ends, grant->id, random, bucket);
	if (!held)
		return begin(ends, grant, release, bucket, now_ns, tag);
	/* It is ends_due that tells of it. */
	return held->over || now_ns >= held->due_ns || used_up(ends, held) ? ENDS_OVER : ENDS_OPEN;
}

static void tell_of(const struct held *held, ends_tell_fn *tell, void *arg)
{
	tell(arg, held->grant, held->random, held->tagged ? held->tag : NULL);
}

void ends_all(struct ends *ends, const uint8_t grant[static RELEASE_GRANT], ends_tell_fn *tell, void *arg)
{
	for (uint32_t i = 0; i < ENDS_MAX; i++) {
		struct held *held = &ends->held[i];
		if (!held->used || held->over || memcmp(held->grant, grant, RELEASE_GRANT) != 0)
			continue;
		end(ends, held);
		tell_of(held, tell, arg);
	}
}

static void times_over(struct ends *ends, uint64_t now_ns, ends_tell_fn *tell, void *arg)
{
	ends->next_ns = UINT64_MAX;
	for (uint32_t i = 0; i < ENDS_MAX; i++) {
		struct held *held = &ends->held[i];
		if (held->used && now_ns >= held->due_ns) {
			end(ends, held);
			tell_of(held, tell, arg);
		} else if (held->used && held->due_ns < ends->next_ns) {
			ends->next_ns = held->due_ns;
		}
	}
}

static void count_some(struct ends *ends, ends_tell_fn *tell, void *arg)
{
	size_t counted = 0;
	for (uint32_t i = 0; i < ENDS_MAX && counted < ENDS_COUNTED && ends->limited > 0; i++) {
		struct held *held = &ends->held[ends->counted];
		ends->counted = (ends->counted + 1) % ENDS_MAX;
		if (!held->used || held->octets == 0)
			continue;
		counted++;
		if (!used_up(ends, held))
			continue;
		end(ends, held);
		tell_of(held, tell, arg);
	}
}

void ends_due(struct ends *ends, uint64_t now_ns, ends_tell_fn *tell, void *arg)
{
	if (now_ns >= ends->next_ns)
		times_over(ends, now_ns, tell, arg);
	count_some(ends, tell, arg);
}

uint64_t ends_next(const struct ends *ends)
{
	return ends->next_ns;
}

struct ends_counts ends_count(const struct ends *ends)
{
	return ends->counts;
}
