#include "tls/control.h"
#include "tls/schedule13.h"
#include "watch/session_parts.h"

#include <openssl/crypto.h>

enum keylog_label lane_label(const struct lane *lane, enum lane_stage stage)
{
	if (stage == LANE_EARLY)
		return KEYLOG_EARLY_TRAFFIC;
	if (stage == LANE_HANDSHAKE)
		return lane->client ? KEYLOG_CLIENT_HANDSHAKE : KEYLOG_SERVER_HANDSHAKE;
	return lane->client ? KEYLOG_CLIENT_TRAFFIC : KEYLOG_SERVER_TRAFFIC;
}

struct protect *protect_of_secret(
	struct session *s, const struct suite *suite, struct bytes secret, uint64_t sequence, struct traffic_keys *keys)
{
	struct tls_secret traffic = {0};
	struct protect_setup setup = {.suite = suite, .version = TLS_VERSION_13, .keys = keys, .sequence = sequence};
	struct protect *protect = NULL;
	if (secret.len == crypto_hash_len(suite->prf) && tls_secret_set(&traffic, secret) &&
		schedule13_keys(s->room->crypto, suite, &traffic, keys))
		protect = protect_new(s->room->crypto, &setup);
	tls_secret_wipe(&traffic);
	return protect;
}

void lane_enter13(struct session *s, struct lane *lane, enum lane_stage stage, uint32_t epoch)
{
	lane_unkey(lane);
	lane->stage = (uint8_t)stage;
	lane->epoch = epoch;
	lane->next = 0;
	lane->framer.tls13 = true;
	s->moved = true;
}

static bool get_record_key(struct session *s, struct lane *lane)
{
	struct traffic_keys keys;
	struct protect_setup setup = {.suite = s->suite, .version = TLS_VERSION_13, .keys = &keys};
	uint64_t first;
	if (!session_record_key(s, lane, lane->stage, lane->epoch, 0, &keys, &first))
		return false;
	struct protect *protect = protect_new(s->room->crypto, &setup);
	if (protect) {
		lane_key(lane, protect, &keys);
		lane->first = first;
	}
	traffic_keys_wipe(&keys);
	return protect != NULL;
}

/* The key of the stage and epoch that the lane is in, the first that was logged. */
static bool get_key(struct session *s, struct lane *lane)
{
	struct bytes secret;
	struct traffic_keys keys;
	enum lane_stage stage = lane->stage;
	uint32_t epoch = stage == LANE_DATA ? lane->epoch : 0;
	if (!s->suite)
		return false;
	if (!keyset_get(session_keys(s), lane_label(lane, stage), epoch, 0, &secret))
		return get_record_key(s, lane);
	struct protect *protect = protect_of_secret(s, s->suite, secret, lane->next, &keys);
	if (protect) {
		lane_key(lane, protect, &keys);
		(void)!tls_secret_set(&lane->secret, secret);
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	return protect != NULL;
}

/* Secrets are logged in the order in which they come to be: where a later one is known, an earlier one will not come. */
static bool later_is_known(struct session *s, const struct lane *lane)
{
	struct bytes secret;
	struct traffic_keys keys;
	uint64_t first;
	for (int stage = lane->stage + 1; stage <= LANE_DATA; stage++)
		if (keyset_get(session_keys(s), lane_label(lane, (enum lane_stage)stage), 0, 0, &secret))
			return true;
	bool known = lane->stage < LANE_DATA && session_record_key(s, lane, LANE_DATA, 0, 0, &keys, &first);
	if (known)
		traffic_keys_wipe(&keys);
	return known;
}

/* Whether 0-RTT data was taken is for the server to say, in EncryptedExtensions. */
static enum step settle_early(struct session *s, struct lane *lane)
{
	const struct lane *server = session_peer(s, lane);
	if (s->early == EARLY_OFFERED && server->stage <= LANE_HANDSHAKE && !server->start_lost &&
		session_peer_may_tell(s, lane))
		return STEP_WAIT_PEER;
	if (s->early != EARLY_REFUSED)
		return STEP_DONE;
	lane->skip_refused = true;
	lane_enter13(s, lane, LANE_HANDSHAKE, 0);
	return STEP_DONE;
}

/* In the clear, beside protected records. */
static void aside(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	switch (stretch->record.type) {
	case RECORD_CHANGE_CIPHER_SPEC:
		/* For middleboxes; without meaning (RFC 8446, 5). */
		return;
	case RECORD_ALERT:
		session_tell_alert(s, lane, stretch->record.fragment);
		return;
	default:
		lane_lose(s, lane, stretch, SESSION_MALFORMED);
	}
}

/* `opened` is set where it says true. */
static bool open_in_place(
	struct session *s, struct lane *lane, const struct stretch *stretch, struct opened *opened, bool *rotten)
{
	if (!lane->protect || lane->next < lane->first)
		return false;
	protect_seek(lane->protect, lane->next);
	enum protect_result result =
		protect_open(lane->protect, &stretch->record, s->room->scratch, sizeof(s->room->scratch), opened);
	*rotten = result == PROTECT_NO_TYPE || result == PROTECT_TOO_LONG || result == PROTECT_BAD_LENGTH;
	return result == PROTECT_OK;
}

static enum step opened13(struct session *s, struct lane *lane, const struct stretch *stretch,
	const struct opened *opened, enum lane_stage stage, uint32_t epoch)
{
	lane_opened(s, lane, stretch, opened, stage, epoch);
	/* The handshake that the first flight's key is for is over: no more data is refused behind it. */
	if (lane->skip_refused) {
		lane->skip_refused = false;
		session_notice(s, SEVERITY_INFO, "early-data-refused",
			"The server refused the client's 0-RTT data: %llu octets of records.",
			(unsigned long long)s->outcome.early_refused);
		s->told_refused = true;
	}
	return lane_content(s, lane, opened->type, opened->plaintext, true);
}

enum step lane_record13(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	struct opened opened = {0};
	bool rotten = false;
	if (stretch->record.type != RECORD_APPLICATION_DATA) {
		aside(s, lane, stretch);
		return STEP_DONE;
	}
	if (lane->stage == LANE_EARLY && settle_early(s, lane) != STEP_DONE)
		return STEP_WAIT_PEER;
	enum lane_stage stage = lane->stage;
	uint32_t epoch = lane->epoch;
	if (!lane->protect && !get_key(s, lane) && !later_is_known(s, lane)) {
		if (session_psk_pends(s, lane))
			return STEP_WAIT_PEER;
		if (session_wait_key(s) != STEP_DONE)
			return STEP_WAIT_KEY;
		if (opening_ech_strangers(s, lane, &stretch->record))
			(void)!get_key(s, lane);
	}
	bool had_key = lane->protect != NULL;
	if (open_in_place(s, lane, stretch, &opened, &rotten))
		return opened13(s, lane, stretch, &opened, stage, epoch);
	if (lane->skip_refused && had_key) {
		s->outcome.early_refused += stretch->octets;
		return STEP_DONE;
	}
	/* Without the ClientHello's random no secret can be looked up: those of others are tried. */
	if (!rotten && (s->outcome.has_random ? recover_13(s, lane, &stretch->record, &opened)
					      : recover_start(s, lane, &stretch->record, &opened)))
		return opened13(s, lane, stretch, &opened, stage, epoch);
	lane_lose(s, lane, stretch,
		rotten         ? SESSION_MALFORMED
		: lane->unsure ? SESSION_GAP
		: had_key      ? SESSION_WRONG_KEY
			       : SESSION_NO_KEY);
	return STEP_DONE;
}

static void key_update(struct session *s, struct lane *lane)
{
	struct tls_secret secret = lane->secret;
	struct traffic_keys keys;
	session_notice(s, SEVERITY_INFO, "key-update", "The %s changed its key.", lane->client ? "client" : "server");
	lane_enter13(s, lane, LANE_DATA, lane->epoch + 1);
	if (secret.len == 0 || !schedule13_next(s->room->crypto, s->suite->prf, &secret, &secret))
		return;
	struct protect *protect = protect_of_secret(s, s->suite, tls_secret_bytes(&secret), 0, &keys);
	if (protect) {
		lane_key(lane, protect, &keys);
		lane->secret = secret;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	tls_secret_wipe(&secret);
}

static void encrypted_extensions(struct session *s, const struct handshake *message)
{
	struct encrypted_extensions ee;
	if (!encrypted_extensions_parse(message->body, &ee))
		return;
	if (s->early == EARLY_OFFERED)
		s->early = ee.early_data ? EARLY_ACCEPTED : EARLY_REFUSED;
	s->moved = true;
	session_tell_disclosed(s, message);
	if (s->opening && ee.has_alpn && ee.alpn.len <= sizeof(s->opening->alpn)) {
		memcpy(s->opening->alpn, ee.alpn.data, ee.alpn.len);
		s->opening->alpn_len = (uint8_t)ee.alpn.len;
	}
}

static void finished(struct session *s, struct lane *lane, const struct handshake *message)
{
	struct bytes verify_data;
	if (lane->stage != LANE_HANDSHAKE || !s->suite ||
		!finished_parse(message->body, TLS_VERSION_13, s->suite->prf, &verify_data))
		return;
	if (!lane->client) {
		/* A server that does not say that it took 0-RTT data did not. */
		if (s->early == EARLY_OFFERED)
			s->early = EARLY_REFUSED;
		session_tell_tls(s);
	}
	lane_enter13(s, lane, LANE_DATA, 0);
}

void lane_message13(struct session *s, struct lane *lane, const struct handshake *message)
{
	bool requested;
	if (!lane->client && lane->stage == LANE_HANDSHAKE)
		opening_follow_psk(s, message);
	switch (message->type) {
	case HANDSHAKE_ENCRYPTED_EXTENSIONS:
		if (!lane->client && lane->stage == LANE_HANDSHAKE)
			encrypted_extensions(s, message);
		return;
	case HANDSHAKE_END_OF_EARLY_DATA:
		if (lane->stage == LANE_EARLY && control_is_empty(message->type) && message->body.len == 0)
			lane_enter13(s, lane, LANE_HANDSHAKE, 0);
		return;
	case HANDSHAKE_FINISHED:
		finished(s, lane, message);
		return;
	case HANDSHAKE_KEY_UPDATE:
		if (lane->stage == LANE_DATA && key_update_parse(message->body, &requested))
			key_update(s, lane);
		return;
	default:
		return;
	}
}
