/* explain/schedule_reader12.c — TLS 1.2 after its ServerHello, in full and resumed (RFC 5246, 7.3; RFC 5077, 3.1). */
#include "explain/schedule_reader.h"
#include "tls/prf12.h"

#define ENCRYPTED_PREFIX 2 /* octets of the length in front of an RSA-encrypted premaster secret */

struct state {
	struct keyring *ring;
	size_t to_key_exchange; /* octets of `room` up to and with the ClientKeyExchange; 0: there was none */
	bool encrypted;         /* an RSA key exchange: `id` names its premaster secret */
	struct keylog_id id;
};

static void note_exchange(struct reader *r, struct state *state, const struct handshake *message)
{
	struct bytes octets = message->body, name;
	state->to_key_exchange = r->room->len;
	state->encrypted = bytes_skip(&octets, ENCRYPTED_PREFIX) && bytes_take(&octets, KEYLOG_ENCRYPTED, &name) &&
	                   keylog_id_set(&state->id, KEYLOG_ID_ENCRYPTED, name);
}

/* Messages in the clear, up to and with one of this type or to the ChangeCipherSpec. False with err set. */
static bool clear_until(struct reader *r, struct state *state, unsigned side, int type, bool *changed)
{
	struct handshake message;
	*changed = false;
	for (;;) {
		enum reader_piece piece = reader_next(r, side, &message);
		*changed = piece == READER_CHANGE;
		if (*changed)
			return true;
		if (piece != READER_MESSAGE)
			return reader_stuck(r, side, piece, "ChangeCipherSpec");
		uint8_t got = message.type;
		if (!reader_keep(r, &message))
			return false;
		if (got == HANDSHAKE_CLIENT_KEY_EXCHANGE)
			note_exchange(r, state, &message);
		buffer_drop(&r->side[side].held, message.whole.len);
		if (got == type)
			return true;
	}
}

static void gather(struct reader *r, const struct state *state)
{
	struct keylog_id ids[3];
	size_t count = 0;
	if (keylog_id_set(&ids[count], KEYLOG_ID_RANDOM, bytes_of(r->random[READER_CLIENT], HELLO_RANDOM)))
		count++;
	if (r->session_len > 0 &&
		keylog_id_set(&ids[count], KEYLOG_ID_SESSION, bytes_of(r->session_id, r->session_len)))
		count++;
	if (state->encrypted)
		ids[count++] = state->id;
	(void)keyring_find(state->ring, ids, count, &r->keys);
}

/* From a premaster secret that the log has in the place of the master secret. */
static bool master_of_premaster(struct reader *r, const struct state *state, struct bytes premaster)
{
	struct tls_secret hash = {0}, *master = &r->master;
	if (!tls_secret_set(&r->source->shared, premaster))
		return false;
	if (!r->ems)
		return prf12_master(r->crypto, r->suite->prf, premaster, bytes_of(r->random[0], HELLO_RANDOM),
			bytes_of(r->random[1], HELLO_RANDOM), master);
	return crypto_hash(r->crypto, r->suite->prf, bytes_of(r->room->data, state->to_key_exchange), &hash) &&
	       prf12_extended_master(r->crypto, r->suite->prf, premaster, tls_secret_bytes(&hash), master);
}

static bool find_keys(struct reader *r, const struct state *state, struct traffic_keys keys[2])
{
	struct bytes secret;
	gather(r, state);
	if (keyset_get(&r->keys, KEYLOG_MASTER, 0, 0, &secret)) {
		if (!tls_secret_set(&r->source->known[SCHEDULE_MASTER], secret))
			return error_set(r->err, "the key log's master secret is too long");
		r->master = r->source->known[SCHEDULE_MASTER];
	}
	if (state->to_key_exchange > 0 && keyset_get(&r->keys, KEYLOG_PREMASTER, 0, 0, &secret) &&
		!master_of_premaster(r, state, secret))
		return error_set(r->err, "the premaster secret of the key log cannot be used");
	if (r->master.len == 0)
		return error_set(r->err, "the key log has no secret of this connection: its handshake stays closed");
	return prf12_keys(r->crypto, r->suite, tls_secret_bytes(&r->master), bytes_of(r->random[0], HELLO_RANDOM),
		       bytes_of(r->random[1], HELLO_RANDOM), &keys[0], &keys[1]) ||
	       error_set(r->err, "keys of %s cannot be made here", r->suite->name);
}

/* A side's ChangeCipherSpec was read: from here its keys open, first its Finished. */
static bool finish(struct reader *r, unsigned side, const struct traffic_keys *keys)
{
	return reader_key(r, side, keys, &r->source->opened_master[side]) &&
	       reader_until(r, side, HANDSHAKE_FINISHED, false);
}

static bool flights(struct reader *r, struct state *state, struct traffic_keys keys[2])
{
	bool changed;
	if (!clear_until(r, state, READER_SERVER, HANDSHAKE_SERVER_HELLO_DONE, &changed))
		return false;
	/* The server's Finished so early: it resumes. Then it goes first. */
	unsigned first = changed ? READER_SERVER : READER_CLIENT;
	if (!changed && !clear_until(r, state, READER_CLIENT, -1, &changed))
		return false;
	return find_keys(r, state, keys) && finish(r, first, &keys[first]) &&
	       clear_until(r, state, !first, -1, &changed) && finish(r, !first, &keys[!first]);
}

bool reader_tls12(struct reader *r, struct keyring *ring)
{
	struct state state = {.ring = ring};
	struct traffic_keys keys[2] = {{.key = {0}}};
	bool ok = flights(r, &state, keys);
	for (unsigned side = 0; ok && side < 2; side++)
		ok = reader_rest(r, side, NULL);
	traffic_keys_wipe(&keys[0]);
	traffic_keys_wipe(&keys[1]);
	return ok;
}
