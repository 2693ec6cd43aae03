#include "uprobe/gather.h"

#include "keys/release.h"
#include "tls/hello.h"
#include "tls/schedule13.h"
#include "tls/sni.h"

#include <openssl/crypto.h>
#include <stdlib.h>

/* Of each kind so many are remembered, in buckets: of a bucket the oldest is written over. */
#define BUCKETS    256
#define WAYS       8
#define DIGEST     16
#define MASTER     48
#define HELLO_TYPE 1

/* What the events of one handshake said of it. */
struct handshake {
	uint32_t pid;
	uint64_t owner; /* 0: free */
	uint16_t suite; /* 0: not known */
	bool ccm;       /* OpenSSL has one number for both suites of AES-128-CCM */
	bool server;
	char name[GATHER_NAME_MAX + 1];
};

/* A secret that was seen with its suite. */
struct seen {
	uint8_t digest[DIGEST];
	uint16_t suite;
};

/* The secret that will come after the next KeyUpdate of one direction. */
struct next {
	uint8_t digest[DIGEST];
	uint8_t random[PROBE_RANDOM];
	uint32_t pid, epoch;
	bool from_client, server;
	uint16_t suite;
	char name[GATHER_NAME_MAX + 1];
};

/* Of secrets only hashes are kept, of which none can be made again. */
struct gather {
	struct gather_options options;
	struct gather_counts counts;
	struct crypto *crypto;
	struct handshake handshakes[BUCKETS][WAYS];
	struct seen seen[BUCKETS][WAYS];
	struct next nexts[BUCKETS][WAYS];
	uint8_t handshake[BUCKETS], secret[BUCKETS], next[BUCKETS]; /* where the next one goes */
};

struct gather *gather_new(const struct gather_options *options)
{
	struct gather *gather = calloc(1, sizeof(*gather));
	if (!gather)
		return NULL;
	gather->options = *options;
	gather->crypto = crypto_new();
	if (gather->crypto)
		return gather;
	gather_free(gather);
	return NULL;
}

void gather_free(struct gather *gather)
{
	if (!gather)
		return;
	crypto_free(gather->crypto);
	OPENSSL_cleanse(gather, sizeof(*gather));
	free(gather);
}

struct gather_counts gather_count(const struct gather *gather)
{
	return gather->counts;
}

/* Memory. */

static bool digest_of(struct gather *gather, struct bytes secret, uint8_t out[DIGEST])
{
	struct tls_secret hash;
	bool ok = crypto_hash(gather->crypto, SUITE_HASH_SHA256, secret, &hash);
	if (ok)
		memcpy(out, hash.octets, DIGEST);
	return ok;
}

static struct handshake *handshake_of(struct gather *gather, const struct probe_event *event)
{
	/* Of an address the lowest bits say nothing. */
	size_t bucket = (size_t)((event->owner >> 6 ^ event->owner >> 14) + event->pid) % BUCKETS;
	for (size_t i = 0; i < WAYS; i++) {
		struct handshake *one = &gather->handshakes[bucket][i];
		if (one->owner == event->owner && one->pid == event->pid && one->owner != 0)
			return one;
	}
	struct handshake *one = &gather->handshakes[bucket][gather->handshake[bucket]++ % WAYS];
	*one = (struct handshake){.pid = event->pid, .owner = event->owner};
	return one;
}

static uint16_t suite_of(const struct gather *gather, const uint8_t digest[DIGEST])
{
	const struct seen *bucket = gather->seen[digest[0] % BUCKETS];
	for (size_t i = 0; i < WAYS; i++) {
		if (bucket[i].suite != 0 && memcmp(bucket[i].digest, digest, DIGEST) == 0)
			return bucket[i].suite;
	}
	return 0;
}

static struct next *next_of(struct gather *gather, const uint8_t digest[DIGEST])
{
	struct next *bucket = gather->nexts[digest[0] % BUCKETS];
	for (size_t i = 0; i < WAYS; i++) {
		if (bucket[i].suite != 0 && memcmp(bucket[i].digest, digest, DIGEST) == 0)
			return &bucket[i];
	}
	return NULL;
}

/* Remembers `about` as what follows this secret of it, one epoch later. */
static void expect(struct gather *gather, const struct next *about, struct bytes secret)
{
	const struct suite *suite = suite_find(about->suite);
	struct tls_secret traffic = {0};
	struct next next = *about;
	next.epoch++;
	if (suite && tls_secret_set(&traffic, secret) &&
		schedule13_next(gather->crypto, suite->prf, &traffic, &traffic) &&
		digest_of(gather, tls_secret_bytes(&traffic), next.digest)) {
		size_t bucket = next.digest[0] % BUCKETS;
		gather->nexts[bucket][gather->next[bucket]++ % WAYS] = next;
	}
	tls_secret_wipe(&traffic);
}

/* Keys. */

static void give(struct gather *gather, const struct record_key *key, const struct probe_event *event, const char *name,
	bool server, bool sure)
{
	struct gathered gathered = {
		.key = *key, .sure = sure, .pid = event->pid, .program = event->program, .server = server};
	memcpy(gathered.name, name, sizeof(gathered.name));
	gather->counts.keys++;
	gather->options.key(gather->options.arg, &gathered);
	OPENSSL_cleanse(&gathered, sizeof(gathered));
}

static struct bytes secret_of(const struct probe_event *event)
{
	return bytes_of(event->secret, event->secret_len);
}

/* From the secret of the event. False when the suite is not for it. */
static bool derive(struct gather *gather, const struct probe_event *event, const struct next *about, bool handshake,
	const uint8_t random[PROBE_RANDOM], bool sure)
{
	struct release release = {0};
	bool ok = release_from_secret13(
		&release, gather->crypto, about->suite, about->from_client, about->epoch, secret_of(event));
	if (ok) {
		memcpy(release.key.client_random, random, PROBE_RANDOM);
		if (handshake)
			release.key.stage = RECORD_STAGE_HANDSHAKE;
		give(gather, &release.key, event, about->name, about->server, sure);
	}
	release_wipe(&release);
	return ok;
}

/* Lines. */

struct label {
	enum keylog_label label;
	uint32_t epoch; /* KEYLOG_EPOCH_UNNAMED: "_N" */
};

/* Of those that keys come from; false for others. */
static bool read_label(struct bytes text, struct label *out)
{
	static const struct {
		const char *text;
		struct label label;
	} labels[] = {
		{"CLIENT_RANDOM", {KEYLOG_MASTER, 0}},
		{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", {KEYLOG_CLIENT_HANDSHAKE, 0}},
		{"SERVER_HANDSHAKE_TRAFFIC_SECRET", {KEYLOG_SERVER_HANDSHAKE, 0}},
		{"CLIENT_TRAFFIC_SECRET_0", {KEYLOG_CLIENT_TRAFFIC, 0}},
		{"SERVER_TRAFFIC_SECRET_0", {KEYLOG_SERVER_TRAFFIC, 0}},
		{"CLIENT_TRAFFIC_SECRET_N", {KEYLOG_CLIENT_TRAFFIC, KEYLOG_EPOCH_UNNAMED}},
		{"SERVER_TRAFFIC_SECRET_N", {KEYLOG_SERVER_TRAFFIC, KEYLOG_EPOCH_UNNAMED}},
	};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		if (bytes_equal(text, bytes_str(labels[i].text))) {
			*out = labels[i].label;
			return true;
		}
	}
	return false;
}

/* A secret that a KeyUpdate brought: known by the one before it. */
static bool take_next(struct gather *gather, const struct probe_event *event, const uint8_t digest[DIGEST])
{
	struct next *found = next_of(gather, digest);
	if (!found)
		return false;
	struct next about = *found;
	found->suite = 0;
	if (derive(gather, event, &about, false, about.random, true))
		expect(gather, &about, secret_of(event));
	return true;
}

/* All suites that the secret may be of. The view finds out which: the ServerHello says it. */
static void guess(struct gather *gather, const struct probe_event *event, struct next *about, bool handshake)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305};
	/* One suite alone has secrets of 48 octets. */
	bool sure = event->secret_len == MASTER, any = false;
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		about->suite = suites[i];
		any |= derive(gather, event, about, handshake, event->random, sure);
	}
	gather->counts.unknown += !any;
}

static void take_line13(struct gather *gather, const struct probe_event *event, const struct label *label)
{
	uint8_t digest[DIGEST];
	struct handshake *one = handshake_of(gather, event);
	bool handshake = label->label == KEYLOG_CLIENT_HANDSHAKE || label->label == KEYLOG_SERVER_HANDSHAKE;
	struct next about = {.pid = event->pid, .server = one->server};
	about.from_client = label->label == KEYLOG_CLIENT_HANDSHAKE || label->label == KEYLOG_CLIENT_TRAFFIC;
	if (!digest_of(gather, secret_of(event), digest))
		return;
	if (label->epoch == KEYLOG_EPOCH_UNNAMED) {
		gather->counts.unknown += !take_next(gather, event, digest);
		return;
	}
	uint16_t suite = suite_of(gather, digest);
	if (suite != 0)
		one->suite = suite;
	memcpy(about.random, event->random, sizeof(about.random));
	memcpy(about.name, one->name, sizeof(about.name));
	about.suite = one->suite;
	if (about.suite == 0) {
		guess(gather, event, &about, handshake);
		return;
	}
	if (!derive(gather, event, &about, handshake, event->random, !one->ccm))
		gather->counts.unknown++;
	if (!handshake)
		expect(gather, &about, secret_of(event));
	if (one->ccm) {
		about.suite++;
		(void)!derive(gather, event, &about, handshake, event->random, false);
	}
}

static void take_line(struct gather *gather, const struct probe_event *event)
{
	struct label label;
	if (!read_label(bytes_of(event->text, event->text_len), &label)) {
		gather->counts.unknown++;
	} else if (label.label != KEYLOG_MASTER) {
		take_line13(gather, event, &label);
	} else if (event->secret_len == MASTER) {
		gather->counts.masters++;
		gather->options.master(gather->options.arg, event->random, secret_of(event));
	} else {
		gather->counts.unknown++;
	}
}

static void take_master(struct gather *gather, const struct probe_event *event)
{
	struct release client = {0}, server = {0};
	const struct handshake *one = handshake_of(gather, event);
	memcpy(client.key.client_random, event->random, PROBE_RANDOM);
	if (event->version == TLS_VERSION_12 &&
		release_from_master12(&client, &server, gather->crypto, event->suite,
			bytes_of(event->server_random, PROBE_RANDOM), secret_of(event))) {
		give(gather, &client.key, event, one->name, one->server, true);
		give(gather, &server.key, event, one->name, one->server, true);
	} else {
		gather->counts.unknown++;
	}
	release_wipe(&client);
	release_wipe(&server);
}

/* What is known of a connection. */

static void take_suite(struct gather *gather, const struct probe_event *event)
{
	uint8_t digest[DIGEST];
	if (!digest_of(gather, secret_of(event), digest) || take_next(gather, event, digest))
		return;
	size_t bucket = digest[0] % BUCKETS;
	struct seen *seen = &gather->seen[bucket][gather->secret[bucket]++ % WAYS];
	memcpy(seen->digest, digest, DIGEST);
	seen->suite = event->suite;
}

static void begin(struct gather *gather, const struct probe_event *event, bool server, struct bytes name)
{
	struct handshake *one = handshake_of(gather, event);
	*one = (struct handshake){.pid = event->pid, .owner = event->owner, .server = server};
	if (name.len > 0 && name.len <= GATHER_NAME_MAX && sni_judge(name) == SNI_OK)
		memcpy(one->name, name.data, name.len);
}

static void take_hello(struct gather *gather, const struct probe_event *event)
{
	struct bytes in = bytes_of(event->text, event->text_len), body;
	struct client_hello hello;
	uint8_t type;
	bool ok = bytes_u8(&in, &type) && type == HELLO_TYPE && bytes_vec24(&in, &body) &&
	          client_hello_parse(body, &hello) == HELLO_OK;
	begin(gather, event, true, ok ? hello.server_name : BYTES_NONE);
}

/* OpenSSL's numbers of ciphers. */
static void take_cipher(struct gather *gather, const struct probe_event *event)
{
	static const struct {
		int32_t number;
		uint16_t suite;
		bool ccm;
	} ciphers[] = {{895, 0x1301, false}, {901, 0x1302, false}, {1018, 0x1303, false}, {896, 0x1304, true}};
	struct handshake *one = handshake_of(gather, event);
	one->suite = 0;
	for (size_t i = 0; i < 2 * sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		if (event->ciphers[i % 2] == ciphers[i / 2].number) {
			one->suite = ciphers[i / 2].suite;
			one->ccm = ciphers[i / 2].ccm;
		}
	}
}

void gather_event(struct gather *gather, const struct probe_event *event)
{
	switch (event->kind) {
	case PROBE_LINE:
		take_line(gather, event);
		break;
	case PROBE_SUITE:
		take_suite(gather, event);
		break;
	case PROBE_MASTER:
		take_master(gather, event);
		break;
	case PROBE_NAME:
		begin(gather, event, false, bytes_of(event->text, event->text_len));
		break;
	case PROBE_HELLO:
		take_hello(gather, event);
		break;
	case PROBE_CIPHER:
		take_cipher(gather, event);
		break;
	default:
		break;
	}
}
