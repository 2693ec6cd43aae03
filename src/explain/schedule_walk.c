/* explain/schedule_walk.c — every message into the transcript hash (RFC 8446, 4.4.1; RFC 5246, 7.4.9). */
#include "base/text.h"
#include "explain/schedule_parts.h"
#include "tls/handshake.h"
#include "tls/psk.h"
#include "tls/ticket.h"

#include <stdio.h>

struct walker {
	struct transcript transcript;
	struct crypto *crypto;
	struct bytes first, last; /* ClientHellos: the first message, and the one that the server answered */
	struct schedule_walk *walk;
	struct story *story;
	unsigned number, finished;
	struct error *err;
};

/* The hashes that end within, or with, the ClientHello: known once the suite is. */
static bool hash_hellos(struct walker *w, const struct server_hello *server)
{
	struct client_hello hello;
	struct bytes message = w->last, truncated, identity;
	struct schedule_walk *walk = w->walk;
	/* Parsed before, when it came. */
	if (!bytes_skip(&message, HANDSHAKE_HEADER) || client_hello_parse(message, &hello) != HELLO_OK)
		return false;
	if (!crypto_hash(w->crypto, walk->suite->prf, w->first, &walk->at_client_hello))
		return false;
	walk->psk_offered = hello.has_psk;
	if (!hello.has_psk || !psk_truncated(w->last, &hello, &truncated) ||
		!psk_at(&hello, server->has_psk ? server->psk_index : 0, &identity, &walk->binder))
		return !hello.has_psk;
	/* Behind a HelloRetryRequest, what stands in front of it counts too (RFC 8446, 4.2.11.2). */
	if (w->walk->retried)
		return w->walk->at_binder.len > 0;
	return crypto_hash(w->crypto, walk->suite->prf, truncated, &walk->at_binder);
}

static bool server_hello(struct walker *w, const struct handshake *message)
{
	struct server_hello hello;
	if (server_hello_parse(message->body, &hello) != HELLO_OK)
		return error_set(w->err, "the ServerHello cannot be read");
	w->walk->suite = suite_find(hello.suite);
	w->walk->version = hello.version;
	w->walk->server_random = hello.random;
	w->walk->extended = hello.has_extended_master_secret;
	if (!w->walk->suite || hello.version < TLS_VERSION_12)
		return error_set(
			w->err, "suite 0x%04x of version 0x%04x is not known here", hello.suite, hello.version);
	w->walk->psk_chosen = hello.has_psk;
	w->walk->psk_alone = hello.has_psk && hello.key_share.len == 0;
	if (transcript_choose(&w->transcript, w->walk->suite->prf) != TRANSCRIPT_OK ||
		(hello.retry && transcript_retry(&w->transcript) != TRANSCRIPT_OK))
		return error_set(w->err, "the transcript's hash cannot be had");
	w->walk->retried |= hello.retry;
	return hello.retry || hello.version != TLS_VERSION_13 || hash_hellos(w, &hello) ||
	       error_set(w->err, "the ClientHello's keys from before cannot be read");
}

static bool client_hello(struct walker *w, const struct handshake *message)
{
	struct client_hello hello;
	struct bytes truncated;
	if (client_hello_parse(message->body, &hello) != HELLO_OK)
		return error_set(w->err, "the ClientHello cannot be read");
	w->walk->client_random = hello.random;
	w->last = message->whole;
	if (w->first.len == 0)
		w->first = message->whole;
	if (w->walk->retried && hello.has_psk && psk_truncated(message->whole, &hello, &truncated))
		return transcript_value_with(&w->transcript, truncated, &w->walk->at_binder) == TRANSCRIPT_OK ||
		       error_set(w->err, "the transcript's hash cannot be had");
	return true;
}

static bool before(struct walker *w, const struct handshake *message)
{
	struct session_ticket ticket;
	struct schedule_walk *walk = w->walk;
	switch (message->type) {
	case HANDSHAKE_CLIENT_HELLO:
		return client_hello(w, message);
	case HANDSHAKE_SERVER_HELLO:
		return server_hello(w, message);
	case HANDSHAKE_FINISHED:
		if (w->finished >= 2)
			return error_set(w->err, "three Finished in one handshake");
		/* Without a key exchange, the server goes first (RFC 5246, 7.3). */
		walk->server_first |= walk->version == TLS_VERSION_12 && walk->at_key_exchange.len == 0;
		walk->finished[w->finished] = message->body;
		return transcript_value(&w->transcript, &walk->before_finished[w->finished]) == TRANSCRIPT_OK ||
		       error_set(w->err, "a Finished before its handshake");
	case HANDSHAKE_NEW_SESSION_TICKET:
		if (walk->version == TLS_VERSION_13 && !walk->has_ticket &&
			session_ticket_parse(message->body, walk->version, &ticket)) {
			walk->has_ticket = true;
			walk->ticket_nonce = ticket.nonce;
		}
		return true;
	default:
		return true;
	}
}

static void after(struct walker *w, uint8_t type, const struct tls_secret *hash)
{
	if (type == HANDSHAKE_SERVER_HELLO)
		w->walk->at_server_hello = *hash;
	if (type == HANDSHAKE_CLIENT_KEY_EXCHANGE)
		w->walk->at_key_exchange = *hash;
	if (type == HANDSHAKE_FINISHED)
		w->walk->at_finished[w->finished++] = *hash;
}

static void line(struct walker *w, const struct handshake *message, const struct tls_secret *hash)
{
	char number[16], octets[24], value[TLS_SECRET_MAX * 2 + 1] = "";
	char name[64];
	const char *known = handshake_type_name(message->type);
	snprintf(number, sizeof(number), "%u", ++w->number);
	snprintf(octets, sizeof(octets), "%zu", message->whole.len);
	snprintf(name, sizeof(name), "%s", known ? known : "unregistered");
	if (hash)
		text_hex(value, sizeof(value), tls_secret_bytes(hash));
	story_line(w->story, false,
		(const char *const[]){number, name, octets,
			hash               ? value
			: w->finished >= 2 ? "not hashed: after the handshake"
					   : "hash not chosen yet",
			NULL});
}

static bool walk_all(struct walker *w, struct bytes messages)
{
	struct handshake message;
	while (messages.len > 0) {
		struct tls_secret hash = {0};
		if (handshake_read(&messages, 1 << 20, &message) != HANDSHAKE_OK)
			return error_set(w->err, "a handshake message is cut short");
		if (!before(w, &message))
			return false;
		/* What follows both Finished is no part of any hash but those of its own kind (RFC 8446, 4.4.1). */
		if (w->finished >= 2) {
			line(w, &message, NULL);
			continue;
		}
		if (transcript_add(&w->transcript, message.whole) != TRANSCRIPT_OK)
			return error_set(w->err, "the transcript is too long");
		bool hashed = transcript_value(&w->transcript, &hash) == TRANSCRIPT_OK;
		line(w, &message, hashed ? &hash : NULL);
		after(w, message.type, &hash);
	}
	return w->finished == 2 || error_set(w->err, "the handshake did not come to its end");
}

bool schedule_walk(struct crypto *crypto, const struct schedule_source *source, struct story *story,
	struct schedule_walk *walk, struct error *err)
{
	struct walker w = {.crypto = crypto, .walk = walk, .story = story, .err = err};
	*walk = (struct schedule_walk){0};
	transcript_init(&w.transcript, TRANSCRIPT_CAP);
	story_table(story, "What entered the transcript hash, in order",
		(const char *const[]){"no.", "message", "octets", "hash of all up to and with it", NULL});
	bool ok = walk_all(&w, source->messages);
	transcript_free(&w.transcript);
	return ok;
}
