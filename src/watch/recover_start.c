/*
 * A connection whose beginning was not captured, or a part of it. Which secrets are its own is said by whoever shares
 * them with the ends of the connection, or found by trying, within bounds.
 */
#include "watch/recover.h"

#include <openssl/crypto.h>

#define STRANGE_AHEAD   64 /* numbers tried with the secret of who knows which connection, and a small record */
#define STRANGE_LEN     512
#define STRANGE_RECORDS 8    /* records of an unknown connection that are each tried with all candidates */
#define TIED_AHEAD      4096 /* numbers tried with a secret that is said to be the connection's, and at most: */
#define TIED_OCTETS     ((uint64_t)4 * 1024 * 1024) /* of decryption, for each secret and suite */
#define TIED_RANDOMS    4 /* connections that ran between the same addresses and ports, one after the other */

/* The suites of TLS 1.3 that a secret of this length may be for; those that invert first. */
static const uint16_t suites_13[] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305};

static bool offered(const struct session *s, uint16_t value)
{
	const struct opening *opening = s->opening;
	if (s->suite)
		return s->suite->value == value;
	if (!opening || !opening->has_client)
		return true;
	for (size_t i = 0; i < opening->offered_count; i++)
		if (opening->offered[i] == value)
			return true;
	return false;
}

/* A secret of nobody knows which suite. `client` says whose it is; the roles may follow from it. */
static bool try_unknown(struct session *s, struct lane *lane, struct bytes secret, bool client, struct place place,
	uint64_t count, const struct record *record, struct opened *opened)
{
	if (s->settled_roles && client != lane->client)
		return false;
	for (size_t i = 0; i < sizeof(suites_13) / sizeof(*suites_13) && !lane->hopeless; i++) {
		const struct suite *suite = suite_find(suites_13[i]);
		struct attempt attempt = {.suite = suite, .version = TLS_VERSION_13, .count = count};
		/* A search is for small records, or for few candidates. */
		if (!offered(s, suites_13[i]) || (suite->cipher != SUITE_CIPHER_AES_GCM && count == 0) ||
			protect_supports(s->room->crypto, suite, TLS_VERSION_13) != PROTECT_SUPPORTED)
			continue;
		if (!recover_secret(s, lane, &attempt, secret, place, record, opened))
			continue;
		s->suite = suite;
		s->outcome.suite = suite->value;
		s->outcome.version = s->version = TLS_VERSION_13;
		if (!s->settled_roles)
			session_set_roles(s, client ? lane : session_peer(s, lane));
		session_peer(s, lane)->framer.tls13 = true;
		return true;
	}
	return false;
}

/* The traffic secrets of a set. */
static bool try_set(struct session *s, struct lane *lane, const struct keyset *keys, uint64_t count,
	const struct record *record, struct opened *opened)
{
	struct keyset_key key;
	for (size_t i = 0; keyset_at(keys, i, &key) && !lane->hopeless; i++) {
		enum lane_stage stage = LANE_DATA;
		bool client = key.label == KEYLOG_CLIENT_TRAFFIC || key.label == KEYLOG_CLIENT_HANDSHAKE;
		if (key.label == KEYLOG_CLIENT_HANDSHAKE || key.label == KEYLOG_SERVER_HANDSHAKE)
			stage = LANE_HANDSHAKE;
		else if (key.label != KEYLOG_CLIENT_TRAFFIC && key.label != KEYLOG_SERVER_TRAFFIC)
			continue;
		if (try_unknown(s, lane, key.secret, client, (struct place){stage, key.epoch}, count, record, opened))
			return true;
	}
	return false;
}

static bool shared_fits(const struct session *s, const struct lane *lane, const struct record_key *key,
	const struct suite *suite, struct shape *shape)
{
	return suite && key->stage == RECORD_STAGE_APPLICATION && (s->version == 0 || s->version == key->version) &&
	       (!s->settled_roles || key->from_client == lane->client) && offered(s, key->suite) &&
	       shape_of(suite, key->version, shape) && key->key_len == shape->key && key->iv_len == shape->iv &&
	       key->mac_len == shape->mac_key &&
	       protect_supports(s->room->crypto, suite, key->version) == PROTECT_SUPPORTED;
}

/* What a record key says of the connection, now that it has opened a record of it. */
static void settle_shared(struct session *s, struct lane *lane, const struct record_key *key, const struct suite *suite)
{
	struct lane *peer = session_peer(s, lane);
	s->suite = suite;
	s->outcome.suite = suite->value;
	s->outcome.version = s->version = key->version;
	if (!s->settled_roles)
		session_set_roles(s, key->from_client ? lane : peer);
	if (!s->outcome.has_random)
		session_note_random(s, key->client_random);
	s->looked = false;
	s->moved = true;
	if (session_is_13(s)) {
		peer->framer.tls13 = true;
		lane_enter13(s, lane, LANE_DATA, key->epoch);
	} else {
		/* Record keys count the handshakes of TLS 1.2 from 0. */
		lane->stage = LANE_DATA;
		lane->epoch = key->epoch + 1;
	}
}

/* A record key says all that there is to know: version, suite, side and epoch. TLS 1.2 needs no randoms with it. */
static bool try_shared(struct session *s, struct lane *lane, const struct record_key *key, uint64_t count,
	const struct record *record, struct opened *opened)
{
	const struct suite *suite = suite_find(key->suite);
	struct attempt attempt = {.suite = suite, .version = key->version, .from = key->first_seq, .count = count};
	struct traffic_keys keys = {0};
	struct protect *protect = NULL;
	struct shape shape;
	if (!shared_fits(s, lane, key, suite, &shape))
		return false;
	memcpy(keys.key, key->key, key->key_len);
	memcpy(keys.iv, key->iv, key->iv_len);
	memcpy(keys.mac, key->mac, key->mac_len);
	bool ok = recover_keys(s, lane, &attempt, &keys, record, &protect, opened);
	/* Which of both comes first is agreed in the hellos (RFC 7366). */
	if (!ok && shape.form == SHAPE_CBC && !lane->hopeless) {
		attempt.etm = true;
		ok = recover_keys(s, lane, &attempt, &keys, record, &protect, opened);
	}
	if (ok) {
		settle_shared(s, lane, key, suite);
		lane_key(lane, protect, &keys);
		lane->first = key->first_seq;
	}
	traffic_keys_wipe(&keys);
	return ok;
}

static bool try_shared_of(struct session *s, struct lane *lane, struct bytes random, uint64_t count,
	const struct record *record, struct opened *opened)
{
	struct record_key keys[8];
	size_t from = 0, found;
	bool ok = false;
	do {
		found = keyring_record_keys(s->room->setup.ring, random, from, keys, 8);
		for (size_t i = 0; i < found; i++) {
			ok = ok || (!lane->hopeless && try_shared(s, lane, &keys[i], count, record, opened));
			record_key_wipe(&keys[i]);
		}
		from += found;
	} while (!ok && found == 8);
	return ok;
}

/* Small records are found at numbers as far as TIED_AHEAD; large ones nearer, so that others can be tried as well. */
static uint64_t tied_reach(const struct session *s, const struct lane *lane, const struct record *record)
{
	uint64_t ahead = TIED_OCTETS / (record->fragment.len + 64);
	return recover_reach(s, lane) + (ahead < TIED_AHEAD ? ahead : TIED_AHEAD);
}

/* What stands under the random that is known. */
static bool try_own(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct bytes random = bytes_of(s->outcome.client_random, HELLO_RANDOM);
	uint64_t count = tied_reach(s, lane, record);
	return s->outcome.has_random && (try_set(s, lane, session_keys(s), count, record, opened) ||
						try_shared_of(s, lane, random, count, record, opened));
}

/* What stands under a random that somebody says belongs to these addresses and ports. */
static bool try_tied(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	const struct session_setup *setup = &s->room->setup;
	uint64_t count = tied_reach(s, lane, record);
	uint8_t randoms[TIED_RANDOMS][HELLO_RANDOM];
	struct keyring_ends ends;
	bool ok = false;
	if (s->outcome.has_random || !setup->ends || !setup->ends(setup->arg, s->user, &ends))
		return false;
	size_t said = keyring_ends_randoms(setup->ring, &ends, randoms, TIED_RANDOMS);
	for (size_t i = 0; i < said && !ok && !lane->hopeless; i++) {
		struct bytes random = bytes_of(randoms[i], HELLO_RANDOM);
		struct keyset keys = {0};
		(void)keyring_find_random(setup->ring, random, &keys);
		ok = try_set(s, lane, &keys, count, record, opened) ||
		     try_shared_of(s, lane, random, count, record, opened);
		keyset_free(&keys);
		if (ok) {
			session_note_random(s, randoms[i]);
			s->looked = false;
		}
	}
	return ok;
}

struct strangers {
	struct session *s;
	struct lane *lane;
	const struct record *record;
	struct opened *opened;
	bool found;
};

static bool visit(const struct keyring_candidate *candidate, void *ctx)
{
	struct strangers *in = ctx;
	bool client = candidate->label == KEYLOG_CLIENT_TRAFFIC;
	/* Where the log does not say which epoch, the next ones are found as after any loss. */
	uint32_t epoch = candidate->epoch == KEYLOG_EPOCH_UNNAMED ? 1 : candidate->epoch;
	uint64_t count = in->record->fragment.len <= STRANGE_LEN ? STRANGE_AHEAD : 0;
	in->found = try_unknown(in->s, in->lane, candidate->secret, client, (struct place){LANE_DATA, epoch}, count,
		in->record, in->opened);
	if (in->found && candidate->id.kind == KEYLOG_ID_RANDOM && candidate->id.len == HELLO_RANDOM) {
		session_note_random(in->s, candidate->id.octets);
		in->s->looked = false;
	}
	return !in->found && !in->lane->hopeless;
}

/* Record keys of other connections, newest first. */
static bool try_shared_strangers(
	struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	uint64_t count = record->fragment.len <= STRANGE_LEN ? STRANGE_AHEAD : 1;
	uint64_t at = UINT64_MAX;
	struct record_key key;
	bool ok = false;
	for (uint32_t i = 0; i < s->room->setup.limits.candidates && !ok && !lane->hopeless; i++) {
		if (!keyring_record_back(s->room->setup.ring, &at, &key))
			break;
		ok = try_shared(s, lane, &key, count, record, opened);
		record_key_wipe(&key);
	}
	return ok;
}

/*
 * Those of other connections. The first records may be handshake, whose secrets are not among the candidates: the first
 * eight are tried, then every second, fourth and so on, as far as the session's trials go.
 */
static bool try_strangers(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct session_room *room = s->room;
	struct strangers in = {s, lane, record, opened, false};
	struct keyring_cursor cursor = {0};
	if (s->outcome.has_random)
		return false;
	if (s->generation != room->generation) {
		s->generation = room->generation;
		s->strange_records = 0;
	}
	uint32_t nth = s->strange_records++;
	if (nth > STRANGE_RECORDS && (nth & (nth - 1)) != 0)
		return false;
	(void)!keyring_candidates(room->setup.ring, &cursor, room->setup.limits.candidates, visit, &in);
	return in.found || (!lane->hopeless && try_shared_strangers(s, lane, record, opened));
}

bool recover_start(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	if (lane->hopeless)
		return false;
	return try_own(s, lane, record, opened) || try_tied(s, lane, record, opened) ||
	       try_strangers(s, lane, record, opened);
}

struct hello_strangers {
	struct session *s;
	struct lane *lane;
	const struct record *record;
	struct opened *opened;
	bool found;
};

/* Whether this secret, with its random as the lost hello's, opens the record. */
static bool visit_master(const struct keyring_candidate *candidate, void *ctx)
{
	struct hello_strangers *in = ctx;
	struct session *s = in->s;
	struct opening *opening = s->opening;
	struct tls_secret master = {0};
	struct traffic_keys keys;
	if (candidate->id.kind != KEYLOG_ID_RANDOM || !tls_secret_set(&master, candidate->secret))
		return true;
	if (!recover_pay(s, in->lane, in->record->fragment.len + 64))
		return false;
	memcpy(opening->client_random, candidate->id.octets, HELLO_RANDOM);
	struct protect *protect = protect_of_master(s, in->lane, &master, &keys);
	in->found = protect && session_open(s, protect, in->record, in->opened) == PROTECT_OK;
	if (in->found) {
		lane_key(in->lane, protect, &keys);
		opening->masters[0] = master;
		opening->master_count = 1;
		opening->chosen = opening->has_client = true;
		session_note_random(s, opening->client_random);
		s->looked = false;
		s->moved = true;
	} else {
		protect_free(protect);
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	tls_secret_wipe(&master);
	return !in->found;
}

bool recover_hello12(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct session_room *room = s->room;
	struct opening *opening = s->opening;
	struct keyring_cursor cursor = {.masters = true};
	struct hello_strangers in = {s, lane, record, opened, false};
	uint64_t generation = keyring_count(room->setup.ring).generation + 1;
	/* All are for the very first record: what they do not open they do not open later either. */
	if (opening->has_client || opening->strangers == generation || lane->hopeless)
		return false;
	opening->strangers = generation;
	if (keyring_candidates(room->setup.ring, &cursor, room->setup.limits.candidates, visit_master, &in) &&
		!in.found)
		room->counts.trials_exhausted++;
	return in.found;
}
