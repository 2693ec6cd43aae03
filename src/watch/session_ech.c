/*
 * Encrypted Client Hello (RFC 9849). Where the log has its secret (under the random of the outer hello), the inner hello is
 * opened: its random is what the other secrets stand under once the server took it, and its name is the one meant.
 * Where the log lacks it, secrets of connections that nobody can name are tried, within bounds. What opens a record is
 * its tag all the same; whether the server took the inner hello is only told to people.
 */
#include "tls/ech.h"
#include "watch/session_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define SECRETS_EACH    4                          /* ECH secrets, and configurations, under one random */
#define STRANGERS_TOTAL (UINT64_C(1) << 20)        /* sessions of the logs tried in vain, in all of a room */
#define INNER_MAX       ((size_t)64 * 1024 + 4096) /* an inner hello, expanded */

struct opening_ech {
	struct buffer outer[2], inner[2]; /* the bodies of the hellos; the messages */
	struct buffer retry, server;      /* messages */
	uint8_t random[HELLO_RANDOM];     /* of the inner hello, where `known` */
	size_t held;
	bool known, opened, judged;
	uint64_t generation; /* of the keyring, when strangers were last tried; 0: never */
	uint32_t left;       /* strangers to be tried */
};

void opening_free_ech(struct session *s)
{
	struct opening_ech *ech = s->opening->ech;
	if (!ech)
		return;
	s->room->held -= ech->held;
	for (int i = 0; i < 2; i++) {
		buffer_clear(&ech->outer[i]);
		buffer_clear(&ech->inner[i]);
	}
	buffer_clear(&ech->retry);
	buffer_clear(&ech->server);
	free(ech);
	s->opening->ech = NULL;
}

static bool keep(struct session *s, struct buffer *in, struct bytes octets)
{
	struct session_room *room = s->room;
	in->cap = SESSION_MESSAGE_MAX;
	if (in->len > 0 || octets.len > SESSION_HELD_MAX - room->held || !buffer_add(in, octets)) {
		room->counts.held_refused++;
		return false;
	}
	room->held += octets.len;
	s->opening->ech->held += octets.len;
	return true;
}

/* The inner hello of one outer one. */
static bool open_one(struct session *s, const struct ech_context *hpke, unsigned nth)
{
	struct opening_ech *ech = s->opening->ech;
	struct client_hello outer;
	uint8_t *room = malloc(INNER_MAX);
	struct writer w = writer_over(room, room ? INNER_MAX : 0);
	struct bytes whole;
	bool ok = room && client_hello_parse(buffer_bytes(&ech->outer[nth]), &outer) == HELLO_OK &&
	          ech_open(s->room->crypto, hpke, nth, &outer, &w) == ECH_OK && writer_done(&w, &whole) &&
	          keep(s, &ech->inner[nth], whole);
	free(room);
	return ok;
}

static bool parse_inner(
	const struct opening_ech *ech, unsigned nth, struct handshake *message, struct client_hello *hello)
{
	struct bytes in = buffer_bytes(&ech->inner[nth]);
	return handshake_read(&in, INNER_MAX, message) == HANDSHAKE_OK &&
	       client_hello_parse(message->body, hello) == HELLO_OK;
}

static bool open_with(struct session *s, struct bytes secret, struct bytes config)
{
	struct opening_ech *ech = s->opening->ech;
	struct client_hello hello;
	struct handshake message;
	struct ech_offer offer;
	struct ech_context hpke;
	if (client_hello_parse(buffer_bytes(&ech->outer[0]), &hello) != HELLO_OK || !ech_offer_of(&hello, &offer) ||
		!ech_begin(s->room->crypto, &offer, config, secret, &hpke))
		return false;
	bool ok = ech->inner[0].len > 0 || open_one(s, &hpke, 0);
	if (ok && ech->outer[1].len > 0 && ech->inner[1].len == 0)
		(void)!open_one(s, &hpke, 1);
	ech_context_wipe(&hpke);
	if (!ok || !parse_inner(ech, 0, &message, &hello))
		return false;
	memcpy(ech->random, hello.random.data, HELLO_RANDOM);
	ech->known = ech->opened = true;
	return true;
}

/* The random that the other secrets stand under. */
static void note(struct session *s, const uint8_t random[HELLO_RANDOM])
{
	memcpy(s->outcome.inner_random, random, HELLO_RANDOM);
	s->outcome.has_inner = true;
}

static bool open_with_any(struct session *s)
{
	struct bytes secret, config;
	for (size_t i = 0; i < SECRETS_EACH && keyset_get(&s->keys, KEYLOG_ECH_SECRET, 0, i, &secret); i++)
		for (size_t n = 0; n < SECRETS_EACH && keyset_get(&s->keys, KEYLOG_ECH_CONFIG, 0, n, &config); n++)
			if (open_with(s, secret, config))
				return true;
	return false;
}

void opening_ech_look(struct session *s)
{
	struct opening_ech *ech = s->opening->ech;
	struct keylog_id id;
	bool before = ech->opened;
	if (ech->opened && (ech->outer[1].len == 0 || ech->inner[1].len > 0))
		return;
	if (!open_with_any(s) || before)
		return;
	note(s, ech->random);
	if (keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(ech->random, HELLO_RANDOM)))
		(void)keyring_find(s->room->setup.ring, &id, 1, &s->keys);
	opening_ech_judge(s);
}

bool opening_ech_id(const struct session *s, struct keylog_id *id)
{
	const struct opening *opening = s->opening;
	if (!opening)
		return s->outcome.has_inner &&
		       keylog_id_set(id, KEYLOG_ID_RANDOM, bytes_of(s->outcome.inner_random, HELLO_RANDOM));
	return opening->ech && opening->ech->known &&
	       keylog_id_set(id, KEYLOG_ID_RANDOM, bytes_of(opening->ech->random, HELLO_RANDOM));
}

bool opening_ech_hello(struct session *s, const struct client_hello *outer, bool again, struct handshake *message,
	struct client_hello *inner)
{
	struct opening *opening = s->opening;
	struct ech_offer offer;
	if (outer->ech != ECH_OUTER || !ech_offer_of(outer, &offer))
		return false;
	if (!opening->ech) {
		opening->ech = calloc(1, sizeof(*opening->ech));
		if (!opening->ech) {
			s->room->counts.no_memory++;
			return false;
		}
		opening->ech->left = s->room->setup.limits.candidates;
		s->outcome.ech = SESSION_ECH_OFFERED;
	}
	if (!keep(s, &opening->ech->outer[again], outer->body))
		return false;
	s->looked = false;
	(void)session_keys(s);
	return opening->ech->inner[again].len > 0 && parse_inner(opening->ech, again, message, inner);
}

/* The transcript of all that came before the ServerHello, with the inner hellos. */
static bool transcript_before(struct session *s, struct transcript *t)
{
	struct opening_ech *ech = s->opening->ech;
	transcript_init(t, TRANSCRIPT_CAP);
	bool ok = transcript_add(t, buffer_bytes(&ech->inner[0])) == TRANSCRIPT_OK &&
	          transcript_choose(t, s->suite->prf) == TRANSCRIPT_OK;
	if (ok && ech->retry.len > 0)
		ok = ech->inner[1].len > 0 && transcript_retry(t) == TRANSCRIPT_OK &&
		     transcript_add(t, buffer_bytes(&ech->retry)) == TRANSCRIPT_OK &&
		     transcript_add(t, buffer_bytes(&ech->inner[1])) == TRANSCRIPT_OK;
	return ok;
}

void opening_ech_judge(struct session *s)
{
	struct opening_ech *ech = s->opening ? s->opening->ech : NULL;
	struct transcript before;
	struct client_hello hello;
	struct handshake message;
	if (!ech || !ech->opened || ech->judged || ech->server.len == 0 || !s->suite)
		return;
	ech->judged = true;
	if (transcript_before(s, &before) &&
		ech_accepted(s->room->crypto, s->suite->prf, bytes_of(ech->random, HELLO_RANDOM), &before,
			buffer_bytes(&ech->server))) {
		s->outcome.ech = SESSION_ECH_TAKEN;
		if (parse_inner(ech, 0, &message, &hello))
			session_tell_inner(s, &hello);
	} else {
		s->outcome.ech = SESSION_ECH_REFUSED;
		s->outcome.has_inner = false;
		session_notice(s, SEVERITY_INFO, "ech-refused",
			"The server did not take the Encrypted Client Hello: the name in the clear is the one that "
			"counts.");
	}
	transcript_free(&before);
}

void opening_ech_server(struct session *s, struct bytes whole, bool retry)
{
	struct opening_ech *ech = s->opening->ech;
	if (!ech || !keep(s, retry ? &ech->retry : &ech->server, whole))
		return;
	if (!retry)
		opening_ech_judge(s);
}

/* Secrets of somebody. */

struct strangers {
	struct keylog_id ids[64];
	size_t count;
	uint32_t seen;
};

static bool visit(const struct keyring_candidate *candidate, void *ctx)
{
	struct strangers *in = ctx;
	in->seen++;
	/* One of each session. */
	if (candidate->label == KEYLOG_SERVER_TRAFFIC && candidate->epoch == 0 &&
		candidate->id.kind == KEYLOG_ID_RANDOM && candidate->id.len == HELLO_RANDOM)
		in->ids[in->count++] = candidate->id;
	return in->count < sizeof(in->ids) / sizeof(*in->ids);
}

static bool stranger_opens(
	struct session *s, struct lane *lane, const struct keylog_id *id, const struct record *record)
{
	struct session_room *room = s->room;
	struct keyset keys = {0};
	struct traffic_keys traffic;
	struct opened opened;
	struct bytes secret;
	bool ok = false;
	(void)keyring_find(room->setup.ring, id, 1, &keys);
	room->counts.trials++;
	for (size_t i = 0; !ok && i < SECRETS_EACH && keyset_get(&keys, lane_label(lane, lane->stage), 0, i, &secret);
		i++) {
		struct protect *protect = protect_of_secret(s, s->suite, secret, 0, &traffic);
		ok = protect &&
		     protect_open(protect, record, room->scratch, sizeof(room->scratch), &opened) == PROTECT_OK;
		protect_free(protect);
		OPENSSL_cleanse(&traffic, sizeof(traffic));
	}
	keyset_free(&keys);
	return ok;
}

bool opening_ech_strangers(struct session *s, struct lane *lane, const struct record *record)
{
	struct session_room *room = s->room;
	struct keyring_cursor cursor = {0};
	struct strangers in;
	bool more = true;
	struct opening_ech *ech = s->opening ? s->opening->ech : NULL;
	if (!ech || ech->known || ech->left == 0 || !s->suite || lane->next > 0 || lane->stage == LANE_DATA ||
		lane->unsure)
		return false;
	uint64_t generation = keyring_count(room->setup.ring).generation + 1;
	if (ech->generation == generation)
		return false;
	ech->generation = generation;
	while (more && ech->left > 0 && room->strangers < STRANGERS_TOTAL) {
		in.count = in.seen = 0;
		more = keyring_candidates(room->setup.ring, &cursor, ech->left, visit, &in);
		ech->left -= in.seen < ech->left ? in.seen : ech->left;
		room->strangers += in.count;
		for (size_t i = 0; i < in.count; i++) {
			if (!stranger_opens(s, lane, &in.ids[i], record))
				continue;
			memcpy(ech->random, in.ids[i].octets, HELLO_RANDOM);
			ech->known = true;
			s->outcome.ech = SESSION_ECH_TIED;
			note(s, ech->random);
			s->looked = false;
			session_notice(s, SEVERITY_INFO, "ech-tied",
				"The Encrypted Client Hello was not opened, but secrets of the connection were found.");
			return true;
		}
	}
	if (ech->left == 0 || room->strangers >= STRANGERS_TOTAL)
		room->counts.trials_exhausted++;
	return false;
}
