#include "tls/key_exchange.h"
#include "tls/prf12.h"
#include "tls/ticket.h"
#include "watch/session_parts.h"

#include <openssl/crypto.h>

struct protect *protect_of_master(
	struct session *s, const struct lane *lane, const struct tls_secret *master, struct traffic_keys *keys)
{
	const struct opening *opening = s->opening;
	struct traffic_keys client, server;
	struct protect_setup setup = {.suite = s->suite,
		.version = TLS_VERSION_12,
		.encrypt_then_mac = opening->etm,
		.keys = keys,
		.sequence = lane->next};
	if (!prf12_keys(s->room->crypto, s->suite, tls_secret_bytes(master),
		    bytes_of(opening->client_random, HELLO_RANDOM), bytes_of(opening->server_random, HELLO_RANDOM),
		    &client, &server))
		return NULL;
	*keys = lane->client ? client : server;
	traffic_keys_wipe(&client);
	traffic_keys_wipe(&server);
	return protect_new(s->room->crypto, &setup);
}

static void add_master(struct opening *opening, struct bytes master)
{
	if (opening->master_count == SESSION_MASTERS || master.len != PRF12_MASTER)
		return;
	for (size_t i = 0; i < opening->master_count; i++)
		if (bytes_equal_secret(tls_secret_bytes(&opening->masters[i]), master))
			return;
	if (tls_secret_set(&opening->masters[opening->master_count], master))
		opening->master_count++;
}

static void add_premaster(struct session *s, struct bytes premaster)
{
	struct opening *opening = s->opening;
	struct tls_secret master = {0}, hash;
	bool made;
	if (opening->ems)
		made = transcript_value(&opening->transcript, &hash) == TRANSCRIPT_OK &&
		       prf12_extended_master(
			       s->room->crypto, s->suite->prf, premaster, tls_secret_bytes(&hash), &master);
	else
		made = prf12_master(s->room->crypto, s->suite->prf, premaster,
			bytes_of(opening->client_random, HELLO_RANDOM), bytes_of(opening->server_random, HELLO_RANDOM),
			&master);
	if (made)
		add_master(opening, tls_secret_bytes(&master));
	tls_secret_wipe(&master);
}

/* An identity may have several keys: as many as there is room for. */
static void gather_psks(struct session *s)
{
	struct opening *opening = s->opening;
	uint8_t room[2 * (SECRET_MAX + 2)];
	struct bytes premaster;
	opening->psk_next = opening->psk_from;
	while (opening->master_count < SESSION_MASTERS) {
		struct writer w = writer_over(room, sizeof(room));
		if (!opening_psk_premaster(s, opening->psk_next, &w)) {
			opening->psk_next = 0;
			break;
		}
		opening->psk_next++;
		if (writer_done(&w, &premaster))
			add_premaster(s, premaster);
	}
	OPENSSL_cleanse(room, sizeof(room));
}

void opening_gather(struct session *s)
{
	struct opening *opening = s->opening;
	struct keyset_key key;
	if (opening->chosen)
		return;
	OPENSSL_cleanse(opening->masters, sizeof(opening->masters));
	opening->master_count = 0;
	const struct keyset *keys = session_keys(s);
	for (size_t i = 0; keyset_at(keys, i, &key); i++) {
		if (key.label == KEYLOG_MASTER)
			add_master(opening, key.secret);
		else if (key.label == KEYLOG_PREMASTER)
			add_premaster(s, key.secret);
	}
	if (opening->has_psk)
		gather_psks(s);
	else if (opening->premaster.len > 0)
		add_premaster(s, secret_bytes(&opening->premaster));
}

static void client_key_exchange(struct session *s, const struct handshake *message)
{
	struct opening *opening = s->opening;
	struct client_key_exchange kx;
	opening->exchanged = true;
	/* The session hash ends here (RFC 7627, 3). */
	(void)!transcript_choose(&opening->transcript, s->suite->prf);
	if (client_key_exchange_parse(message->body, s->suite, s->version, &kx) != KEY_EXCHANGE_OK)
		return;
	if (kx.encrypted.len >= KEYLOG_ENCRYPTED) {
		struct bytes front = bytes_of(kx.encrypted.data, KEYLOG_ENCRYPTED);
		if (!keylog_id_set(&opening->ids[2], KEYLOG_ID_ENCRYPTED, front))
			opening->ids[2].len = 0;
		s->looked = false;
	}
	if (s->suite->kx == SUITE_KX_RSA)
		(void)!keyring_open_premaster(
			s->room->setup.ring, kx.encrypted, buffer_bytes(&opening->certificate), &opening->premaster);
	else if (s->suite->kx == SUITE_KX_PSK)
		opening->has_psk = buffer_add(&opening->psk_identity, kx.psk_identity);
	else if (s->suite->kx == SUITE_KX_RSA_PSK)
		opening->has_psk = buffer_add(&opening->psk_identity, kx.psk_identity) &&
		                   keyring_open_premaster(s->room->setup.ring, kx.encrypted,
					   buffer_bytes(&opening->certificate), &opening->premaster) == KEYRING_OPENED;
}

static void new_ticket(struct session *s, const struct handshake *message)
{
	struct session_ticket ticket;
	if (session_ticket_parse(message->body, s->version, &ticket) && ticket.ticket.len > 0 &&
		!keylog_id_of_ticket(&s->opening->ticket, ticket.ticket))
		s->opening->ticket.len = 0;
}

static void server_key_exchange(struct session *s, const struct handshake *message)
{
	struct server_key_exchange kx;
	if (server_key_exchange_parse(message->body, s->suite, s->version, &kx) == KEY_EXCHANGE_OK)
		s->opening->group = kx.group;
}

enum step lane_message12(struct session *s, struct lane *lane, const struct handshake *message)
{
	struct opening *opening = s->opening;
	if (message->type == HANDSHAKE_FINISHED) {
		lane->finished = s->moved = true;
		if (!lane->client)
			session_learn(s);
		if (!lane->client)
			session_tell_tls(s);
		return STEP_DONE;
	}
	if (!opening || message->type == HANDSHAKE_HELLO_REQUEST)
		return STEP_DONE;
	/* What comes after this one is not for the session hash. */
	if (!opening->transcript.ctx)
		session_opening_keep(s, message->whole);
	switch (message->type) {
	case HANDSHAKE_SERVER_KEY_EXCHANGE:
		server_key_exchange(s, message);
		break;
	case HANDSHAKE_SERVER_HELLO_DONE:
		opening->server_done = true;
		opening->resumed = false;
		s->moved = true;
		break;
	case HANDSHAKE_CLIENT_KEY_EXCHANGE:
		client_key_exchange(s, message);
		s->moved = true;
		break;
	case HANDSHAKE_NEW_SESSION_TICKET:
		new_ticket(s, message);
		break;
	default:
		break;
	}
	return STEP_DONE;
}

/* The client's second flight is understood once all of the server's first one is. */
static bool wants_server(const struct session *s, const struct lane *lane, uint8_t type)
{
	const struct opening *opening = s->opening;
	if (!lane->client || !opening || !opening->has_client || opening->number <= lane->epoch)
		return false;
	if (type != RECORD_HANDSHAKE && type != RECORD_CHANGE_CIPHER_SPEC)
		return false;
	if (!opening->has_server)
		return true;
	/* In an abbreviated handshake the server's ChangeCipherSpec comes before the client's. */
	const struct lane *server = lane == &s->lane[0] ? &s->lane[1] : &s->lane[0];
	return !opening->server_done && server->epoch < opening->number;
}

static void change_cipher(struct session *s, struct lane *lane)
{
	struct opening *opening = s->opening;
	if (!opening || !opening->has_server || opening->number <= lane->epoch)
		return;
	if (!lane->client && !opening->server_done && !lane->start_lost)
		opening->resumed = true;
	lane_unkey(lane);
	lane->stage = LANE_DATA;
	lane->epoch = opening->number;
	lane->next = 0;
	lane->finished = false;
	s->moved = true;
}

enum protect_result session_open(
	struct session *s, struct protect *protect, const struct record *record, struct opened *opened)
{
	return s->dtls ? dtls_open(s, protect, record, opened)
	               : protect_open(protect, record, s->room->scratch, sizeof(s->room->scratch), opened);
}

static bool one_key_opens(struct session *s, struct lane *lane, const struct record *record,
	const struct traffic_keys *keys, uint64_t first, struct opened *opened)
{
	struct protect_setup setup = {.suite = s->suite,
		.version = TLS_VERSION_12,
		.encrypt_then_mac = s->opening->etm,
		.keys = keys,
		.sequence = lane->next};
	struct protect *protect = protect_new(s->room->crypto, &setup);
	if (protect)
		lane_key(lane, protect, keys);
	lane->first = first;
	return protect && lane->next >= first && session_open(s, protect, record, opened) == PROTECT_OK;
}

/* No master secret, but perhaps a key; of several that contradict each other, the one that opens stays. */
static bool record_key_open(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct traffic_keys keys;
	uint64_t first;
	bool ok = false;
	for (size_t nth = 0; !ok && session_record_key(s, lane, LANE_DATA, lane->epoch, nth, &keys, &first); nth++) {
		ok = one_key_opens(s, lane, record, &keys, first, opened);
		traffic_keys_wipe(&keys);
	}
	return ok;
}

/* Tries each master secret that was gathered; the first that opens a record stays. */
static bool masters_open(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct opening *opening = s->opening;
	struct traffic_keys keys;
	bool ok = false;
	for (size_t i = 0; i < opening->master_count && !ok; i++) {
		struct protect *protect = protect_of_master(s, lane, &opening->masters[i], &keys);
		ok = protect && session_open(s, protect, record, opened) == PROTECT_OK;
		if (!ok) {
			protect_free(protect);
			continue;
		}
		lane_key(lane, protect, &keys);
		opening->masters[0] = opening->masters[i];
		opening->master_count = 1;
		opening->chosen = true;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	return ok;
}

/* Of an identity's keys, those that were not among the first ones gathered. Once: they are many. */
static bool more_psks_open(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct opening *opening = s->opening;
	bool ok = false;
	if (opening->psks_tried)
		return false;
	while (!ok && opening->psk_next > opening->psk_from) {
		if (opening->psk_next >= SESSION_PSK_TRIES) {
			s->room->counts.trials_exhausted++;
			break;
		}
		opening->psk_from = opening->psk_next;
		s->room->counts.trials++;
		opening_gather(s);
		ok = masters_open(s, lane, record, opened);
	}
	opening->psk_from = 0;
	opening->psks_tried = !ok;
	return ok;
}

bool opening_open(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	struct opening *opening = s->opening;
	opening_gather(s);
	if (opening->master_count == 0)
		return record_key_open(s, lane, record, opened) ||
		       (!s->dtls && recover_hello12(s, lane, record, opened));
	return masters_open(s, lane, record, opened) || (opening->has_psk && more_psks_open(s, lane, record, opened));
}

static bool is_pending(const struct session *s, const struct lane *lane)
{
	const struct opening *opening = s->opening;
	return opening && opening->has_server && opening->number == lane->epoch;
}

/*
 * A hello inside, of another handshake, that the other direction is not ready for: a ServerHello whose ClientHello was
 * not read yet, or a ClientHello while the server's side of the handshake before is not done.
 */
static bool too_early(const struct session *s, const struct lane *lane, const struct opened *opened)
{
	const struct opening *opening = s->opening;
	const struct lane *peer = lane == &s->lane[0] ? &s->lane[1] : &s->lane[0];
	struct bytes in = opened->plaintext;
	struct handshake message;
	if (opened->type != RECORD_HANDSHAKE || lane->message.len > 0 || !session_peer_may_tell(s, lane) ||
		handshake_read(&in, SESSION_MESSAGE_MAX, &message) != HANDSHAKE_OK)
		return false;
	if (lane->client)
		return message.type == HANDSHAKE_CLIENT_HELLO && opening &&
		       (peer->epoch < opening->number || !peer->finished);
	return message.type == HANDSHAKE_SERVER_HELLO && (!opening || opening->number <= lane->epoch);
}

static enum step content12(struct session *s, struct lane *lane, const struct stretch *stretch, struct opened *opened,
	uint64_t before, uint32_t epoch)
{
	/* The record comes again. */
	if (too_early(s, lane, opened)) {
		lane->next = before;
		return STEP_WAIT_PEER;
	}
	lane_opened(s, lane, stretch, opened, LANE_DATA, epoch);
	if (opened->type == RECORD_CHANGE_CIPHER_SPEC) {
		change_cipher(s, lane);
		return STEP_DONE;
	}
	return lane_content(s, lane, opened->type, opened->plaintext, true);
}

static enum step data12(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	struct opened opened = {0};
	enum protect_result result = PROTECT_BAD_TAG;
	uint32_t epoch = lane->epoch;
	uint64_t before = lane->next;
	bool had_key = lane->protect != NULL;
	if (lane->protect && lane->next >= lane->first) {
		protect_seek(lane->protect, lane->next);
		result = protect_open(
			lane->protect, &stretch->record, s->room->scratch, sizeof(s->room->scratch), &opened);
	} else if (is_pending(s, lane)) {
		if (opening_open(s, lane, &stretch->record, &opened))
			result = PROTECT_OK;
		had_key = s->opening->master_count > 0 || lane->protect;
		/* The premaster secret may come in the other direction's next message. */
		if (result != PROTECT_OK && !had_key && !lane->client && session_peer(s, lane)->epoch < lane->epoch &&
			!s->opening->resumed && session_peer_may_tell(s, lane))
			return STEP_WAIT_PEER;
		if (result != PROTECT_OK && !s->opening->chosen && session_wait_key(s) != STEP_DONE)
			return STEP_WAIT_KEY;
	}
	if (result == PROTECT_OK || (result == PROTECT_BAD_TAG && recover_12(s, lane, &stretch->record, &opened)))
		return content12(s, lane, stretch, &opened, before, epoch);
	lane_lose(s, lane, stretch,
		result != PROTECT_BAD_TAG ? SESSION_MALFORMED
		: lane->unsure            ? SESSION_GAP
		: had_key                 ? SESSION_WRONG_KEY
					  : SESSION_NO_KEY);
	return STEP_DONE;
}

enum step lane_record12(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	struct opened opened = {0};
	uint8_t type = stretch->record.type;
	if (wants_server(s, lane, type) && session_peer_may_tell(s, lane))
		return STEP_WAIT_PEER;
	if (lane->stage == LANE_DATA)
		return data12(s, lane, stretch);
	/* Where octets are missing, ChangeCipherSpec may be among them. */
	if (lane->unsure && type != RECORD_CHANGE_CIPHER_SPEC && s->opening && s->opening->has_server &&
		recover_12(s, lane, &stretch->record, &opened))
		return content12(s, lane, stretch, &opened, lane->next, lane->epoch);
	if (type == RECORD_CHANGE_CIPHER_SPEC) {
		change_cipher(s, lane);
		return STEP_DONE;
	}
	/* A connection from its middle on: the other direction's record key has told the version. */
	if (lane->start_lost && !s->opening) {
		if (recover_start(s, lane, &stretch->record, &opened))
			return content12(s, lane, stretch, &opened, lane->next, lane->epoch);
		if (session_wait_key(s) != STEP_DONE)
			return STEP_WAIT_KEY;
	}
	if (type == RECORD_APPLICATION_DATA) {
		lane_lose(s, lane, stretch, lane->start_lost ? SESSION_START_12 : SESSION_MALFORMED);
		return STEP_DONE;
	}
	return lane_content(s, lane, type, stretch->record.fragment, false);
}
