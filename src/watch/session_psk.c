/*
 * Keys shared beforehand. In TLS 1.3 a binder in the ClientHello says which of those at hand is the one that the client
 * offers (RFC 8446, 4.2.11.2), so that nothing is guessed. It alone gives the secret of 0-RTT data, and where the server
 * sends no key share (psk_ke) all others, too: they are derived as an endpoint does and filed under the client_random,
 * where the rest of the session looks for what a key log says.
 */
#include "tls/prf12.h"
#include "tls/psk.h"
#include "tls/schedule13.h"
#include "watch/session_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>

void opening_free_psks(struct opening *opening)
{
	if (opening->psks)
		OPENSSL_cleanse(opening->psks, sizeof(*opening->psks));
	free(opening->psks);
	opening->psks = NULL;
}

static void file_secret(struct session *s, enum keylog_label label, const struct tls_secret *secret)
{
	struct keylog_id id;
	if (keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(s->opening->client_random, HELLO_RANDOM)) &&
		keyring_add_secret(s->room->setup.ring, &id, label, 0, tls_secret_bytes(secret)))
		s->room->counts.learned++;
	s->looked = false;
	s->moved = true;
}

static bool binder_fits(struct session *s, enum suite_hash hash, struct bytes key, const struct tls_secret *transcript,
	struct bytes binder)
{
	struct crypto *crypto = s->room->crypto;
	struct tls_secret early = {0}, base = {0}, made = {0};
	bool fits = schedule13_early(crypto, hash, key, &early) &&
	            schedule13_derive(crypto, hash, &early, SCHEDULE13_EXT_BINDER, BYTES_NONE, &base) &&
	            schedule13_finished(crypto, hash, &base, tls_secret_bytes(transcript), &made) &&
	            bytes_equal_secret(tls_secret_bytes(&made), binder);
	tls_secret_wipe(&early);
	tls_secret_wipe(&base);
	tls_secret_wipe(&made);
	return fits;
}

static void remember_psk(struct session *s, size_t index, enum suite_hash hash, const struct secret *key)
{
	struct opening *opening = s->opening;
	struct offered_psks *psks = opening->psks;
	if (!psks)
		psks = opening->psks = calloc(1, sizeof(*psks));
	if (!psks) {
		s->room->counts.no_memory++;
		return;
	}
	psks->known[psks->count].index = (uint16_t)index;
	psks->known[psks->count].hash = hash;
	psks->known[psks->count++].key = *key;
}

/* Looks for the key of one identity. `tries` are left for all of the hello. */
static void try_identity(struct session *s, struct bytes truncated, size_t index, struct bytes identity,
	struct bytes binder, size_t *tries)
{
	enum suite_hash hash = binder.len == crypto_hash_len(SUITE_HASH_SHA384) ? SUITE_HASH_SHA384 : SUITE_HASH_SHA256;
	struct tls_secret transcript = {0};
	struct secret key = {0};
	bool found = false;
	for (size_t nth = 0; !found && keyring_psk(s->room->setup.ring, identity, nth, &key); nth++) {
		if (*tries == 0) {
			s->room->counts.trials_exhausted++;
			break;
		}
		--*tries;
		if (nth == 0 && !crypto_hash(s->room->crypto, hash, truncated, &transcript))
			break;
		found = binder_fits(s, hash, secret_bytes(&key), &transcript, binder);
		if (found)
			remember_psk(s, index, hash, &key);
	}
	secret_wipe(&key);
}

void opening_offer_psks(struct session *s, struct bytes whole, const struct client_hello *hello)
{
	struct bytes truncated, identity, binder;
	size_t tries = SESSION_PSK_TRIES;
	opening_free_psks(s->opening);
	/* After a HelloRetryRequest, which asks for a key share nearly always, the key log decides. */
	if (s->opening->retry || !hello->has_psk || !psk_truncated(whole, hello, &truncated))
		return;
	for (size_t i = 0; tries > 0 && psk_at(hello, i, &identity, &binder); i++) {
		try_identity(s, truncated, i, identity, binder, &tries);
		if (s->opening->psks && s->opening->psks->count == SESSION_PSKS)
			return;
	}
}

void opening_early_psk(struct session *s, struct bytes whole)
{
	struct crypto *crypto = s->room->crypto;
	const struct offered_psks *psks = s->opening->psks;
	struct tls_secret early = {0}, traffic = {0}, transcript;
	/* 0-RTT data goes with the first identity (RFC 8446, 4.2.10). */
	if (!psks || psks->known[0].index != 0)
		return;
	enum suite_hash hash = psks->known[0].hash;
	if (crypto_hash(crypto, hash, whole, &transcript) &&
		schedule13_early(crypto, hash, secret_bytes(&psks->known[0].key), &early) &&
		schedule13_derive(
			crypto, hash, &early, SCHEDULE13_C_E_TRAFFIC, tls_secret_bytes(&transcript), &traffic))
		file_secret(s, KEYLOG_EARLY_TRAFFIC, &traffic);
	tls_secret_wipe(&early);
	tls_secret_wipe(&traffic);
}

/* The handshake's secrets of this key alone; what application data's come from is kept. */
static bool derive(struct session *s, enum suite_hash hash, struct bytes key)
{
	struct crypto *crypto = s->room->crypto;
	struct offered_psks *psks = s->opening->psks;
	struct tls_secret early = {0}, handshake = {0}, client = {0}, transcript;
	bool ok = transcript_value(&s->opening->transcript, &transcript) == TRANSCRIPT_OK &&
	          schedule13_early(crypto, hash, key, &early) &&
	          schedule13_handshake(crypto, hash, &early, BYTES_NONE, &handshake) &&
	          schedule13_master(crypto, hash, &handshake, &psks->master) &&
	          schedule13_derive(
			  crypto, hash, &handshake, SCHEDULE13_C_HS_TRAFFIC, tls_secret_bytes(&transcript), &client) &&
	          schedule13_derive(crypto, hash, &handshake, SCHEDULE13_S_HS_TRAFFIC, tls_secret_bytes(&transcript),
			  &psks->handshake);
	if (ok) {
		file_secret(s, KEYLOG_CLIENT_HANDSHAKE, &client);
		file_secret(s, KEYLOG_SERVER_HANDSHAKE, &psks->handshake);
	}
	tls_secret_wipe(&early);
	tls_secret_wipe(&handshake);
	tls_secret_wipe(&client);
	return ok;
}

void opening_select_psk(struct session *s, struct bytes whole, const struct server_hello *hello)
{
	struct opening *opening = s->opening;
	struct offered_psks *psks = opening->psks;
	/* With a key share the key log decides. */
	bool alone = psks && s->suite && hello->has_psk && hello->group == 0 && hello->key_share.len == 0;
	for (size_t i = 0; alone && i < psks->count && !psks->derives; i++) {
		enum suite_hash hash = psks->known[i].hash;
		psks->derives = psks->known[i].index == hello->psk_index && s->suite->prf == hash &&
		                transcript_choose(&opening->transcript, hash) == TRANSCRIPT_OK &&
		                transcript_add(&opening->transcript, whole) == TRANSCRIPT_OK &&
		                derive(s, hash, secret_bytes(&psks->known[i].key));
	}
	if (alone && psks->derives)
		return;
	opening_free_psks(opening);
	transcript_free(&opening->transcript);
}

/* The transcript holds all that it should: else the server's Finished would not fit. */
static bool finished_fits(struct session *s, const struct handshake *message)
{
	const struct opening *opening = s->opening;
	struct tls_secret transcript, made = {0};
	bool fits = transcript_value(&opening->transcript, &transcript) == TRANSCRIPT_OK &&
	            schedule13_finished(s->room->crypto, s->suite->prf, &opening->psks->handshake,
			    tls_secret_bytes(&transcript), &made) &&
	            bytes_equal_secret(tls_secret_bytes(&made), message->body);
	tls_secret_wipe(&made);
	return fits;
}

void opening_follow_psk(struct session *s, const struct handshake *message)
{
	struct opening *opening = s->opening;
	struct tls_secret client = {0}, server = {0}, transcript;
	if (!opening || !opening->psks)
		return;
	bool last = message->type == HANDSHAKE_FINISHED;
	bool fits = !last || finished_fits(s, message);
	enum transcript_result added = transcript_add(&opening->transcript, message->whole);
	if (!last && added == TRANSCRIPT_OK)
		return;
	const struct tls_secret *master = &opening->psks->master;
	enum suite_hash hash = s->suite->prf;
	if (fits && transcript_value(&opening->transcript, &transcript) == TRANSCRIPT_OK &&
		schedule13_derive(s->room->crypto, hash, master, SCHEDULE13_C_AP_TRAFFIC, tls_secret_bytes(&transcript),
			&client) &&
		schedule13_derive(s->room->crypto, hash, master, SCHEDULE13_S_AP_TRAFFIC, tls_secret_bytes(&transcript),
			&server)) {
		file_secret(s, KEYLOG_CLIENT_TRAFFIC, &client);
		file_secret(s, KEYLOG_SERVER_TRAFFIC, &server);
	}
	tls_secret_wipe(&client);
	tls_secret_wipe(&server);
	opening_free_psks(opening);
	transcript_free(&opening->transcript);
	s->moved = true;
}

bool session_psk_pends(const struct session *s, const struct lane *lane)
{
	const struct opening *opening = s->opening;
	return opening && opening->psks && opening->psks->derives && lane->client && session_peer_may_tell(s, lane);
}

bool opening_psk_premaster(struct session *s, size_t nth, struct writer *out)
{
	struct secret psk = {0};
	bool found = keyring_psk(s->room->setup.ring, buffer_bytes(&s->opening->psk_identity), nth, &psk) &&
	             prf12_psk_premaster(secret_bytes(&psk), secret_bytes(&s->opening->premaster), out);
	secret_wipe(&psk);
	return found;
}
