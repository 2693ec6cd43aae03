#include "cli/exec_share_sieve.h"

#include "watch/link.h"
#include "watch/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BUCKETS    16384 /* of both tables */
#define WAYS       4     /* client_randoms remembered per bucket: the oldest is written over */
#define CANDIDATES 4     /* ClientHellos in one connection: a second one after a retry has the same random */
#define HELLO_HEAD 43    /* octets from the record's first to the end of the random */

enum state { UNDECIDED, WANTED, UNWANTED };

struct held {
	struct held *next;
	struct frame frame;
	uint8_t octets[];
};

struct entry {
	struct entry *chain, *older, *newer;
	uint64_t hash, seen_ns;
	struct flow_address side[2];
	enum state state;
	struct held *first, **last;
	size_t held;
	unsigned candidates;
	bool lossy; /* frames of it were let go */
	uint8_t random[CANDIDATES][KEYLOG_RANDOM];
};

/* The randoms that keys came for. */
struct known {
	pthread_mutex_t lock;
	atomic_uint_fast64_t news;
	uint8_t next[BUCKETS];
	uint8_t random[BUCKETS][WAYS][KEYLOG_RANDOM];
};

struct sieve {
	void (*give)(void *arg, const struct frame *frame);
	void *arg;
	struct entry *buckets[BUCKETS];
	struct entry *oldest, *newest;
	size_t entries, held;
	uint64_t seen_news;
	struct sieve_counts counts;
	struct known known;
};

/* Randoms. */

static size_t bucket_of(const uint8_t random[KEYLOG_RANDOM])
{
	/* The first four octets were the time once. */
	return ((size_t)random[30] << 8 | random[31]) % BUCKETS;
}

void sieve_want(struct sieve *sieve, const uint8_t client_random[KEYLOG_RANDOM])
{
	struct known *known = &sieve->known;
	size_t bucket = bucket_of(client_random);
	bool there = false;
	pthread_mutex_lock(&known->lock);
	for (size_t i = 0; i < WAYS; i++)
		there |= memcmp(known->random[bucket][i], client_random, KEYLOG_RANDOM) == 0;
	if (!there)
		memcpy(known->random[bucket][known->next[bucket]++ % WAYS], client_random, KEYLOG_RANDOM);
	pthread_mutex_unlock(&known->lock);
	if (!there)
		atomic_fetch_add(&known->news, 1);
}

static bool is_known(struct known *known, const struct entry *entry)
{
	bool found = false;
	pthread_mutex_lock(&known->lock);
	for (unsigned c = 0; c < entry->candidates; c++) {
		size_t bucket = bucket_of(entry->random[c]);
		for (size_t i = 0; i < WAYS; i++)
			found |= memcmp(known->random[bucket][i], entry->random[c], KEYLOG_RANDOM) == 0;
	}
	pthread_mutex_unlock(&known->lock);
	return found;
}

/* Entries. */

static bool same_address(const struct flow_address *a, const struct flow_address *b)
{
	return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static void unlink_entry(struct sieve *sieve, struct entry *entry)
{
	*(entry->older ? &entry->older->newer : &sieve->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &sieve->newest) = entry->older;
}

static void link_newest(struct sieve *sieve, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = sieve->newest;
	*(entry->older ? &entry->older->newer : &sieve->oldest) = entry;
	sieve->newest = entry;
}

static void let_go_of_frames(struct sieve *sieve, struct entry *entry)
{
	for (struct held *held = entry->first, *next; held; held = next) {
		next = held->next;
		free(held);
	}
	sieve->held -= entry->held;
	entry->held = 0;
	entry->first = NULL;
	entry->last = &entry->first;
}

static void remove_entry(struct sieve *sieve, struct entry *entry)
{
	struct entry **at = &sieve->buckets[entry->hash % BUCKETS];
	while (*at != entry)
		at = &(*at)->chain;
	*at = entry->chain;
	unlink_entry(sieve, entry);
	sieve->counts.given_up += entry->state == UNDECIDED;
	let_go_of_frames(sieve, entry);
	sieve->entries--;
	free(entry);
}

static struct entry *find(const struct sieve *sieve, const struct packet *packet, uint64_t hash)
{
	for (struct entry *at = sieve->buckets[hash % BUCKETS]; at; at = at->chain) {
		if (at->hash == hash && ((same_address(&at->side[0], &packet->source) &&
						 same_address(&at->side[1], &packet->destination)) ||
						(same_address(&at->side[1], &packet->source) &&
							same_address(&at->side[0], &packet->destination))))
			return at;
	}
	return NULL;
}

static struct entry *find_or_make(struct sieve *sieve, const struct packet *packet)
{
	uint64_t hash = table_hash(packet);
	struct entry *entry = find(sieve, packet, hash);
	if (entry) {
		unlink_entry(sieve, entry);
	} else {
		if (sieve->entries >= SIEVE_CONNECTIONS)
			remove_entry(sieve, sieve->oldest);
		entry = calloc(1, sizeof(*entry));
		if (!entry) {
			sieve->counts.no_memory++;
			return NULL;
		}
		entry->hash = hash;
		entry->side[0] = packet->source;
		entry->side[1] = packet->destination;
		entry->last = &entry->first;
		entry->chain = sieve->buckets[hash % BUCKETS];
		sieve->buckets[hash % BUCKETS] = entry;
		sieve->entries++;
	}
	entry->seen_ns = packet->time_ns;
	link_newest(sieve, entry);
	return entry;
}

/* Frames. */

static void decide(struct sieve *sieve, struct entry *entry)
{
	if (entry->state != UNDECIDED || entry->candidates == 0 || !is_known(&sieve->known, entry))
		return;
	entry->state = WANTED;
	sieve->counts.wanted++;
	sieve->counts.lost += entry->lossy;
	for (const struct held *held = entry->first; held; held = held->next)
		sieve->give(sieve->arg, &held->frame);
	let_go_of_frames(sieve, entry);
}

static void give_up(struct sieve *sieve, struct entry *entry)
{
	entry->state = UNWANTED;
	entry->lossy = true;
	sieve->counts.given_up++;
	let_go_of_frames(sieve, entry);
}

static void hold(struct sieve *sieve, struct entry *entry, const struct frame *frame)
{
	struct held *held = malloc(sizeof(*held) + frame->bytes.len);
	if (!held) {
		sieve->counts.no_memory++;
		give_up(sieve, entry);
		return;
	}
	held->next = NULL;
	held->frame = *frame;
	memcpy(held->octets, frame->bytes.data, frame->bytes.len);
	held->frame.bytes = bytes_of(held->octets, frame->bytes.len);
	*entry->last = held;
	entry->last = &held->next;
	entry->held += frame->bytes.len;
	sieve->held += frame->bytes.len;
	if (entry->held > SIEVE_HELD_EACH)
		give_up(sieve, entry);
	for (struct entry *at = sieve->oldest, *next; at && sieve->held > SIEVE_HELD; at = next) {
		next = at->newer;
		if (at->state == UNDECIDED && at->held > 0)
			give_up(sieve, at);
	}
}

/* The record that begins here is a ClientHello of TLS 1.2 or later. */
static bool hello_at(struct bytes in, struct bytes *random)
{
	uint8_t type, message, major;
	uint16_t version;
	return bytes_u8(&in, &type) && type == 22 && bytes_u8(&in, &major) && major == 3 && bytes_skip(&in, 3) &&
	       bytes_u8(&in, &message) && message == 1 && bytes_skip(&in, 3) && bytes_u16(&in, &version) &&
	       version == 0x0303 && bytes_take(&in, KEYLOG_RANDOM, random);
}

/* Wherever it is: something may stand before it, as with STARTTLS and with proxies. */
static void look_for_hello(struct entry *entry, struct bytes payload)
{
	struct bytes random;
	for (size_t at = bytes_find(payload, 22, 0); at + HELLO_HEAD <= payload.len;
		at = bytes_find(payload, 22, at + 1)) {
		if (entry->candidates == CANDIDATES)
			return;
		if (hello_at(bytes_of(payload.data + at, payload.len - at), &random))
			memcpy(entry->random[entry->candidates++], random.data, KEYLOG_RANDOM);
	}
}

void sieve_frame(struct sieve *sieve, const struct frame *frame)
{
	struct packet packet;
	if (link_decode(frame, NULL, &packet) != LINK_PACKET || packet.protocol != PACKET_TCP)
		return;
	struct entry *entry = find_or_make(sieve, &packet);
	if (!entry)
		return;
	/* The same addresses and ports again. */
	if (entry->state != UNDECIDED && (packet.flags & (PACKET_SYN | PACKET_ACK)) == PACKET_SYN) {
		entry->state = UNDECIDED;
		entry->candidates = 0;
		entry->lossy = false;
	}
	if (entry->state == WANTED) {
		sieve->give(sieve->arg, frame);
		return;
	}
	if (entry->state == UNWANTED)
		return;
	unsigned before = entry->candidates;
	if (packet.payload.len > 0)
		look_for_hello(entry, packet.payload);
	/* Between two turns a connection may say more than is held of one. */
	if (entry->candidates != before || atomic_load(&sieve->known.news) != sieve->seen_news)
		decide(sieve, entry);
	if (entry->state == WANTED)
		sieve->give(sieve->arg, frame);
	else
		hold(sieve, entry, frame);
}

void sieve_turn(struct sieve *sieve, uint64_t now_ns)
{
	uint64_t news = atomic_load(&sieve->known.news);
	while (sieve->oldest && sieve->oldest->seen_ns + SIEVE_HELD_NS < now_ns && sieve->oldest->state != WANTED)
		remove_entry(sieve, sieve->oldest);
	if (news == sieve->seen_news)
		return;
	sieve->seen_news = news;
	for (struct entry *at = sieve->oldest; at; at = at->newer)
		decide(sieve, at);
}

struct sieve *sieve_new(void (*give)(void *arg, const struct frame *frame), void *arg)
{
	struct sieve *sieve = calloc(1, sizeof(*sieve));
	if (sieve && pthread_mutex_init(&sieve->known.lock, NULL) == 0) {
		sieve->give = give;
		sieve->arg = arg;
		return sieve;
	}
	free(sieve);
	return NULL;
}

void sieve_free(struct sieve *sieve)
{
	if (!sieve)
		return;
	for (struct entry *at = sieve->oldest, *next; at; at = next) {
		next = at->newer;
		let_go_of_frames(sieve, at);
		free(at);
	}
	pthread_mutex_destroy(&sieve->known.lock);
	free(sieve);
}

struct sieve_counts sieve_count(const struct sieve *sieve)
{
	return sieve->counts;
}
