#include "tls/certificate.h"
#include "tls/dtls.h"
#include "tls/list.h"
#include "watch/session_parts.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

struct opening *session_opening_new(struct session *s)
{
	uint32_t number = s->opening ? s->opening->number + 1 : s->lane[0].epoch + 1;
	struct opening *opening = spare_take(&s->room->openings);
	session_opening_free(s);
	if (!opening) {
		s->room->counts.no_memory++;
		return NULL;
	}
	opening->number = number;
	opening->certificate.cap = SESSION_MESSAGE_MAX;
	opening->psk_identity.cap = SESSION_IDENTITY_MAX;
	transcript_init(&opening->transcript, TRANSCRIPT_CAP);
	s->opening = opening;
	return opening;
}

void session_opening_free(struct session *s)
{
	struct opening *opening = s->opening;
	if (!opening)
		return;
	s->room->held -= opening->kept;
	transcript_free(&opening->transcript);
	buffer_clear(&opening->certificate);
	buffer_clear(&opening->psk_identity);
	secret_wipe(&opening->premaster);
	opening_free_psks(opening);
	opening_free_ech(s);
	OPENSSL_cleanse(opening->masters, sizeof(opening->masters));
	spare_give(&s->room->openings, opening);
	s->opening = NULL;
}

void session_opening_keep(struct session *s, struct bytes message)
{
	struct opening *opening = s->opening;
	if (message.len > SESSION_HELD_MAX - s->room->held) {
		/* A part of a transcript is of no use. */
		s->room->counts.held_refused++;
		transcript_free(&opening->transcript);
		return;
	}
	if (transcript_add(&opening->transcript, message) != TRANSCRIPT_OK)
		return;
	opening->kept += message.len;
	s->room->held += message.len;
}

void session_die(struct session *s, enum session_cause cause, const char *name, const char *text)
{
	if (s->dead)
		return;
	s->dead = s->moved = true;
	s->dead_cause = (uint8_t)cause;
	session_notice(s, SEVERITY_WARN, name, "%s", text);
}

static void remember_offer(struct opening *opening, const struct client_hello *hello)
{
	struct bytes list = hello->suites;
	uint16_t suite;
	opening->offered_count = 0;
	while (opening->offered_count < SESSION_OFFERED && list_next(&list, &suite))
		opening->offered[opening->offered_count++] = suite;
	opening->session_len = (uint8_t)hello->session_id.len;
	if (hello->session_id.len > 0)
		memcpy(opening->session_id, hello->session_id.data, hello->session_id.len);
	/* A ticket that is not given an id is not looked up, and no more. */
	if (hello->ticket.len > 0)
		(void)!keylog_id_of_ticket(&opening->ids[1], hello->ticket);
}

/* A hello in the clear is a beginning, whatever was thought to be missing before it. */
static void begins(struct session *s, struct lane *lane)
{
	struct lane *peer = session_peer(s, lane);
	lane->start_lost = lane->unsure = false;
	loss_forget(lane);
	if (!peer->heard)
		peer->start_lost = peer->unsure = false;
}

static enum step client_hello(struct session *s, struct lane *lane, const struct handshake *message, bool protected)
{
	struct client_hello hello;
	struct opening *opening = s->opening;
	if (client_hello_parse(message->body, &hello) != HELLO_OK)
		return STEP_DONE;
	/* Inside TLS 1.3 there is no such message. */
	if (protected && session_is_13(s))
		return STEP_DONE;
	if (!s->settled_roles)
		session_set_roles(s, lane);
	/* The same hello again, with what the HelloRetryRequest asked for. */
	bool again = opening && opening->has_client && !protected;
	if (!protected)
		begins(s, lane);
	if (!again) {
		opening = opening && !opening->has_client ? opening : session_opening_new(s);
		if (!opening)
			return STEP_DONE;
		memcpy(opening->client_random, hello.random.data, HELLO_RANDOM);
		opening->has_client = true;
		s->looked = false;
	}
	if (!s->outcome.has_random)
		session_note_random(s, opening->client_random);
	opening->again = again;
	remember_offer(opening, &hello);
	if (!again && hello.has_early_data)
		s->early = EARLY_OFFERED;
	/* Keys shared beforehand are offered by the hello that is meant; an outer one's are for show (RFC 9849, 6.1.2). */
	struct handshake inside;
	struct client_hello inner;
	bool has_inner = !protected && !s->dtls && opening_ech_hello(s, &hello, again, &inside, &inner);
	struct bytes meant = has_inner ? inside.whole : message->whole;
	opening_offer_psks(s, meant, has_inner ? &inner : &hello);
	session_opening_keep(s, meant);
	if (hello.has_early_data && !again)
		opening_early_psk(s, meant);
	session_tell_hello(s, &hello);
	if (!again && !s->dtls)
		session_tell_offer(s, &hello);
	if (protected)
		session_notice(s, SEVERITY_INFO, "renegotiation", "The client began another handshake.");
	s->moved = true;
	return STEP_DONE;
}

static void agree_suite(struct session *s, const struct server_hello *hello)
{
	s->outcome.version = s->version = hello->version;
	/* Of the same form in all that follows. */
	if (s->dtls && hello->version == DTLS_VERSION_12)
		s->version = TLS_VERSION_12;
	s->outcome.suite = hello->suite;
	s->suite = suite_find(hello->suite);
	const char *version = tls_version_name(hello->version);
	if (s->version != TLS_VERSION_12 && (s->version != TLS_VERSION_13 || s->dtls)) {
		char text[120];
		(void)snprintf(text, sizeof(text), "The connection speaks %s, which is not decrypted.",
			version ? version : "an unknown version");
		session_die(s, SESSION_VERSION, "version-unsupported", text);
		return;
	}
	enum protect_support support =
		s->suite ? protect_supports(s->room->crypto, s->suite, s->version) : PROTECT_UNKNOWN_FORM;
	if (support == PROTECT_SUPPORTED && hello->compression == 0)
		return;
	char text[160];
	(void)snprintf(text, sizeof(text), "Records of cipher suite 0x%04x are not decrypted: %s.", hello->suite,
		hello->compression ? "they are compressed" : protect_support_text(support));
	session_die(s, SESSION_SUITE, "suite-unsupported", text);
}

static void agree_12(struct session *s, struct opening *opening, const struct server_hello *hello)
{
	opening->etm = hello->has_encrypt_then_mac;
	opening->ems = hello->has_extended_master_secret;
	if (hello->session_id.len > 0) {
		if (!keylog_id_set(&opening->ids[0], KEYLOG_ID_SESSION, hello->session_id))
			opening->ids[0].len = 0;
		opening->resumed = bytes_equal(hello->session_id, bytes_of(opening->session_id, opening->session_len));
	}
	if (hello->alpn.len <= sizeof(opening->alpn)) {
		if (hello->alpn.len > 0)
			memcpy(opening->alpn, hello->alpn.data, hello->alpn.len);
		opening->alpn_len = (uint8_t)hello->alpn.len;
	}
	s->looked = false;
}

static enum step server_hello(struct session *s, struct lane *lane, const struct handshake *message, bool protected)
{
	struct server_hello hello;
	struct opening *opening = s->opening;
	if (server_hello_parse(message->body, &hello) != HELLO_OK || (protected && session_is_13(s)))
		return STEP_DONE;
	if (!s->settled_roles)
		session_set_roles(s, session_peer(s, lane));
	bool answers = opening && opening->has_client && !opening->has_server;
	if (!answers && session_peer_may_tell(s, lane))
		return STEP_WAIT_PEER;
	if (!answers)
		opening = session_opening_new(s);
	if (!opening)
		return STEP_DONE;
	s->moved = true;
	if (!protected)
		begins(s, lane);
	opening->group = hello.group ? hello.group : opening->group;
	if (hello.retry) {
		opening->retry = true;
		opening_ech_server(s, message->whole, true);
		if (s->early == EARLY_OFFERED)
			s->early = EARLY_REFUSED;
		return STEP_DONE;
	}
	opening->has_server = true;
	memcpy(opening->server_random, hello.random.data, HELLO_RANDOM);
	agree_suite(s, &hello);
	if (s->dead)
		return STEP_DONE;
	if (session_is_13(s)) {
		opening->resumed = hello.has_psk;
		opening_ech_server(s, message->whole, false);
		opening_select_psk(s, message->whole, &hello);
		if (!hello.has_psk && s->early == EARLY_OFFERED)
			s->early = EARLY_REFUSED;
		session_peer(s, lane)->framer.tls13 = true;
		lane_enter13(s, lane, LANE_HANDSHAKE, 0);
		return STEP_DONE;
	}
	s->early = EARLY_NONE;
	agree_12(s, opening, &hello);
	session_opening_keep(s, message->whole);
	return STEP_DONE;
}

static void certificate(struct session *s, const struct lane *lane, const struct handshake *message)
{
	struct certificate_message certificates;
	struct certificate_entry leaf;
	struct opening *opening = s->opening;
	if (lane->client || !opening || !certificate_parse(message->body, s->version, &certificates) ||
		!certificate_next(&certificates, &leaf))
		return;
	if (!opening->has_note && !s->told_tls)
		session_note_certificate(s, leaf.der);
	/* Says which private key opens the premaster secret; without it all are tried. */
	if (s->suite && (s->suite->kx == SUITE_KX_RSA || s->suite->kx == SUITE_KX_RSA_PSK))
		(void)!buffer_add(&opening->certificate, leaf.der);
}

enum step session_message(struct session *s, struct lane *lane, const struct handshake *message, bool protected)
{
	/* Whose message it is. A client that says what only a server may is none of ours to follow. */
	if (message->type == HANDSHAKE_CLIENT_HELLO && (lane->client || !s->settled_roles))
		return client_hello(s, lane, message, protected);
	if (message->type == HANDSHAKE_SERVER_HELLO && (!lane->client || !s->settled_roles))
		return server_hello(s, lane, message, protected);
	if (message->type == HANDSHAKE_CERTIFICATE)
		certificate(s, lane, message);
	else if (message->type == HANDSHAKE_COMPRESSED_CERTIFICATE && protected && session_is_13(s) && !lane->client &&
		 s->opening && !s->opening->has_note && !s->told_tls)
		session_note_packed(s, message->body);
	if (session_is_13(s)) {
		if (protected)
			lane_message13(s, lane, message);
		return STEP_DONE;
	}
	return s->version == TLS_VERSION_12 ? lane_message12(s, lane, message) : STEP_DONE;
}
