#include "share/line_keys.h"

#include "base/hash.h"
#include "keys/secret.h"
#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/schedule13.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define WAYS    4 /* places of a bucket */
#define DIGEST  16
#define MEETING (LINE_KEYS_GREETINGS / WAYS)
#define COMING  (LINE_KEYS_NEXTS / WAYS)

/* A secret. */
struct held {
	uint8_t client_random[KEYLOG_RANDOM];
	bool master; /* of TLS 1.2; else a traffic secret of application data */
	bool from_client;
	uint32_t epoch;
	uint64_t came_ns;
	uint8_t len;
	uint8_t secret[PRF12_MASTER];
};

/* In the order in which they came. */
struct room {
	size_t count;
	struct held held[LINE_KEYS_HELD];
};

struct meeting {
	bool used, torn; /* torn: there are two who say different things */
	struct line_greeting greeting;
};

/* A secret that will come after the next KeyUpdate of one direction: its hash, of which it cannot be made again. */
struct coming {
	bool used;
	uint8_t digest[DIGEST];
	uint8_t client_random[KEYLOG_RANDOM];
	bool from_client;
	uint32_t epoch;
};

struct line_keys {
	struct line_keys_options options;
	struct line_keys_counts counts;
	struct crypto *crypto;
	bool waits;
	struct room *room; /* memory for secrets */
	struct meeting meetings[MEETING][WAYS];
	struct coming comings[COMING][WAYS];
	uint8_t meeting[MEETING], coming[COMING]; /* where the next one goes */
};

void line_keys_free(struct line_keys *lines)
{
	if (!lines)
		return;
	secret_free(lines->room);
	crypto_free(lines->crypto);
	free(lines);
}

struct line_keys_counts line_keys_count(const struct line_keys *lines)
{
	struct line_keys_counts counts = lines->counts;
	counts.held = lines->room->count;
	return counts;
}

/* Greetings. */

/* By a key of this process: whoever chooses randoms cannot choose which hellos they push out. */
static size_t bucket_of(const uint8_t random[KEYLOG_RANDOM], size_t buckets)
{
	return hash_bytes(bytes_of(random, KEYLOG_RANDOM)) % buckets;
}

static struct meeting *find(struct line_keys *lines, const uint8_t client_random[KEYLOG_RANDOM])
{
	struct meeting *bucket = lines->meetings[bucket_of(client_random, MEETING)];
	for (size_t i = 0; i < WAYS; i++) {
		if (bucket[i].used && memcmp(bucket[i].greeting.client_random, client_random, KEYLOG_RANDOM) == 0)
			return &bucket[i];
	}
	return NULL;
}

/* One connection may be seen twice, with other addresses: where a network of this machine translates them. */
static bool agree(const struct line_greeting *a, const struct line_greeting *b)
{
	return memcmp(a->server_random, b->server_random, KEYLOG_RANDOM) == 0 && a->version == b->version &&
	       a->suite == b->suite && strcmp(a->name, b->name) == 0;
}

/* Keys. */

static void give(struct line_keys *lines, struct release *release, const struct line_greeting *greeting)
{
	release->mode = RELEASE_LIVE;
	/* Nobody asked the other side. */
	release->consent = RELEASE_UNILATERAL;
	if (greeting) {
		release->client = greeting->client;
		release->server = greeting->server;
		release_text(release->name, sizeof(release->name), bytes_str(greeting->name));
	}
	lines->counts.keys++;
	lines->options.give(lines->options.arg, release);
}

static bool derive13(
	struct line_keys *lines, const struct held *held, uint16_t suite, const struct line_greeting *greeting)
{
	struct release release = {0};
	bool ok = release_from_secret13(
		&release, lines->crypto, suite, held->from_client, held->epoch, bytes_of(held->secret, held->len));
	memcpy(release.key.client_random, held->client_random, KEYLOG_RANDOM);
	if (ok)
		give(lines, &release, greeting);
	release_wipe(&release);
	return ok;
}

static bool derive12(struct line_keys *lines, const struct held *held, const struct line_greeting *greeting)
{
	struct release client = {0}, server = {0};
	memcpy(client.key.client_random, held->client_random, KEYLOG_RANDOM);
	bool ok = release_from_master12(&client, &server, lines->crypto, greeting->suite,
		bytes_of(greeting->server_random, KEYLOG_RANDOM), bytes_of(held->secret, held->len));
	if (ok) {
		give(lines, &client, greeting);
		give(lines, &server, greeting);
	}
	release_wipe(&client);
	release_wipe(&server);
	return ok;
}

/*
 * Those that programs offer of themselves come first. AES-128-CCM has to be asked for in both ends' settings, and a
 * collector holds no more than a few keys of one place: there it is found where the hellos are.
 */
static bool guess(struct line_keys *lines, const struct held *held)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305};
	size_t count = lines->options.ccm ? 5 : 3;
	bool any = false;
	for (size_t i = 0; i < count; i++)
		any |= derive13(lines, held, suites[i], NULL);
	return any;
}

/* What a secret comes to, with the hellos of its connection or (NULL) without. */
static void settle(struct line_keys *lines, const struct held *held, const struct line_greeting *greeting)
{
	struct line_keys_counts *counts = &lines->counts;
	bool fits = true;
	if (greeting) {
		bool right = greeting->version == (held->master ? TLS_VERSION_12 : TLS_VERSION_13);
		fits = right && (held->master ? derive12(lines, held, greeting)
					      : derive13(lines, held, greeting->suite, greeting));
		counts->met += fits;
	} else if (held->master) {
		counts->unsure++;
	} else {
		fits = guess(lines, held);
		counts->guessed += fits;
	}
	counts->unfit += !fits;
}

/* Waiting. */

static const struct line_greeting *greeting_of(struct line_keys *lines, const struct held *held)
{
	const struct meeting *known = find(lines, held->client_random);
	return known && !known->torn ? &known->greeting : NULL;
}

/* The oldest `count` are done with. */
static void leave(struct room *room, size_t count)
{
	room->count -= count;
	memmove(room->held, &room->held[count], room->count * sizeof(room->held[0]));
	OPENSSL_cleanse(&room->held[room->count], count * sizeof(room->held[0]));
}

static void hold(struct line_keys *lines, const struct held *held)
{
	struct room *room = lines->room;
	if (room->count == LINE_KEYS_HELD) {
		lines->counts.crowded++;
		settle(lines, &room->held[0], greeting_of(lines, &room->held[0]));
		leave(room, 1);
	}
	room->held[room->count++] = *held;
}

void line_keys_pass(struct line_keys *lines, uint64_t until_ns)
{
	struct room *room = lines->room;
	size_t count = 0;
	for (; count < room->count && room->held[count].came_ns <= until_ns; count++)
		settle(lines, &room->held[count], greeting_of(lines, &room->held[count]));
	leave(room, count);
}

void line_keys_wait(struct line_keys *lines, bool waits)
{
	lines->waits = waits;
	if (!waits)
		line_keys_pass(lines, UINT64_MAX);
}

void line_keys_meet(struct line_keys *lines, const struct line_greeting *greeting)
{
	struct meeting *known = find(lines, greeting->client_random);
	if (known) {
		known->torn = known->torn || !agree(&known->greeting, greeting);
		return;
	}
	size_t bucket = bucket_of(greeting->client_random, MEETING);
	lines->meetings[bucket][lines->meeting[bucket]++ % WAYS] =
		(struct meeting){.used = true, .greeting = *greeting};
}

/* KeyUpdates. */

static bool digest_of(struct line_keys *lines, struct bytes secret, uint8_t out[DIGEST])
{
	struct tls_secret hash;
	bool ok = crypto_hash(lines->crypto, SUITE_HASH_SHA256, secret, &hash);
	if (ok)
		memcpy(out, hash.octets, DIGEST);
	return ok;
}

/* What follows depends on the hash alone, and that on the secret's length: the suite need not be known. */
static void expect(struct line_keys *lines, const struct held *held)
{
	enum suite_hash hash = held->len == 48 ? SUITE_HASH_SHA384 : SUITE_HASH_SHA256;
	struct tls_secret next = {0};
	struct coming coming = {.used = true, .from_client = held->from_client, .epoch = held->epoch + 1};
	memcpy(coming.client_random, held->client_random, KEYLOG_RANDOM);
	if (held->len == crypto_hash_len(hash) && tls_secret_set(&next, bytes_of(held->secret, held->len)) &&
		schedule13_next(lines->crypto, hash, &next, &next) &&
		digest_of(lines, tls_secret_bytes(&next), coming.digest)) {
		size_t bucket = bucket_of(held->client_random, COMING);
		lines->comings[bucket][lines->coming[bucket]++ % WAYS] = coming;
	}
	tls_secret_wipe(&next);
}

/* OpenSSL writes "_N" for every secret after the first: which one it is shows from the one before it. */
static bool find_epoch(struct line_keys *lines, struct held *held)
{
	uint8_t digest[DIGEST];
	struct coming *bucket = lines->comings[bucket_of(held->client_random, COMING)];
	if (!digest_of(lines, bytes_of(held->secret, held->len), digest))
		return false;
	for (size_t i = 0; i < WAYS; i++) {
		struct coming *one = &bucket[i];
		if (!one->used || one->from_client != held->from_client || memcmp(one->digest, digest, DIGEST) != 0 ||
			memcmp(one->client_random, held->client_random, KEYLOG_RANDOM) != 0)
			continue;
		held->epoch = one->epoch;
		one->used = false;
		return true;
	}
	return false;
}

/* Lines. */

/* False when it is of no use to a reader, or not to be released at all. */
static bool read_line(const struct keylog_line *line, struct bytes secret, struct held *held)
{
	bool client = line->label == KEYLOG_CLIENT_TRAFFIC;
	held->master = line->label == KEYLOG_MASTER;
	if (line->id.kind != KEYLOG_ID_RANDOM || secret.len == 0 || secret.len > sizeof(held->secret) ||
		(!client && line->label != KEYLOG_SERVER_TRAFFIC && !held->master))
		return false;
	held->from_client = client;
	held->epoch = line->epoch;
	held->len = (uint8_t)secret.len;
	memcpy(held->client_random, line->id.octets, KEYLOG_RANDOM);
	memcpy(held->secret, secret.data, secret.len);
	return true;
}

bool line_keys_take(struct line_keys *lines, const struct keylog_line *line, struct bytes secret, uint64_t came_ns)
{
	struct held held = {.came_ns = came_ns};
	bool ok = read_line(line, secret, &held);
	if (ok && !held.master && held.epoch == KEYLOG_EPOCH_UNNAMED)
		ok = find_epoch(lines, &held);
	if (ok) {
		if (!held.master)
			expect(lines, &held);
		if (lines->waits)
			hold(lines, &held);
		else
			settle(lines, &held, NULL);
	}
	OPENSSL_cleanse(&held, sizeof(held));
	return ok;
}

/* Beginning. */

static void give_nobody(void *arg, const struct release *release)
{
	(void)arg, (void)release;
}

/*
 * When a function is called for the first time the dynamic linker looks it up, and meanwhile saves the registers on the
 * stack, with what of a secret is in them. Nobody wipes that: so the first secrets are none.
 */
static void rehearse(struct line_keys *lines)
{
	static const uint8_t lens[] = {32, 48};
	static const uint16_t suites[] = {0xc02f, 0xc030};
	const struct line_keys_options options = lines->options;
	lines->options.give = give_nobody;
	for (size_t i = 0; i < 2; i++) {
		struct held traffic = {.len = lens[i]}, master = {.master = true, .len = PRF12_MASTER};
		const struct line_greeting greeting = {.version = TLS_VERSION_12, .suite = suites[i]};
		expect(lines, &traffic);
		(void)find_epoch(lines, &traffic);
		settle(lines, &traffic, NULL);
		settle(lines, &master, &greeting);
	}
	memset(lines->comings, 0, sizeof(lines->comings));
	memset(lines->coming, 0, sizeof(lines->coming));
	lines->counts = (struct line_keys_counts){0};
	lines->options = options;
}

struct line_keys *line_keys_new(const struct line_keys_options *options)
{
	struct line_keys *lines = calloc(1, sizeof(*lines));
	if (!lines)
		return NULL;
	lines->options = *options;
	lines->crypto = crypto_new();
	lines->room = secret_alloc(sizeof(*lines->room));
	if (lines->crypto && lines->room) {
		rehearse(lines);
		return lines;
	}
	line_keys_free(lines);
	return NULL;
}
