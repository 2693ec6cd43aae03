/* explain/visibility_observer.c — what follows from a handshake secret and the wire (RFC 8446, 7.1): everything. */
#include "explain/visibility_parts.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/schedule13.h"
#include "tls/ticket.h"

#include <openssl/crypto.h>
#include <stdio.h>

#define SUITE_VALUE 0x1301
#define HASH        SUITE_HASH_SHA256
#define PLAIN_MAX   ((size_t)16 * 1024 + 256)

static bool next_record(struct bytes *octets, struct record *record)
{
	while (record_read(octets, record) == RECORD_OK) {
		if (record->type != RECORD_CHANGE_CIPHER_SPEC)
			return true;
	}
	return false;
}

bool observer_hello(struct bytes octets, struct bytes *body, struct bytes *whole)
{
	struct record record;
	struct handshake message;
	if (!next_record(&octets, &record) || record.type != RECORD_HANDSHAKE ||
		handshake_read(&record.fragment, record.fragment.len, &message) != HANDSHAKE_OK)
		return false;
	*body = message.body;
	*whole = message.whole;
	return true;
}

struct reading {
	struct observer *observer;
	struct transcript transcript;
	struct bytes rest[2]; /* of the wire: client's, server's */
	uint8_t plain[PLAIN_MAX];
};

static struct protect *protect_by(struct reading *r, const struct tls_secret *traffic, struct traffic_keys *keys)
{
	const struct suite *suite = suite_find(SUITE_VALUE);
	if (!suite || !schedule13_keys(r->observer->crypto, suite, traffic, keys))
		return NULL;
	struct protect_setup setup = {.suite = suite, .version = TLS_VERSION_13, .keys = keys};
	return protect_new(r->observer->crypto, &setup);
}

static bool derive(
	struct reading *r, const struct tls_secret *from, enum schedule13_label label, struct tls_secret *out)
{
	struct tls_secret hash;
	return transcript_value(&r->transcript, &hash) == TRANSCRIPT_OK &&
	       schedule13_derive(r->observer->crypto, HASH, from, label, tls_secret_bytes(&hash), out);
}

static bool read_hello(struct reading *r, unsigned side)
{
	struct record record;
	return next_record(&r->rest[side], &record) && record.type == RECORD_HANDSHAKE &&
	       transcript_add(&r->transcript, record.fragment) == TRANSCRIPT_OK;
}

/* The next record of a side, which holds the rest of its flight. */
static bool read_flight(struct reading *r, unsigned side, const struct tls_secret *traffic)
{
	struct traffic_keys keys;
	struct record record;
	struct opened opened;
	struct protect *protect = protect_by(r, traffic, &keys);
	bool ok = protect && next_record(&r->rest[side], &record) &&
	          protect_open(protect, &record, r->plain, sizeof(r->plain), &opened) == PROTECT_OK &&
	          transcript_add(&r->transcript, opened.plaintext) == TRANSCRIPT_OK;
	protect_free(protect);
	traffic_keys_wipe(&keys);
	return ok;
}

static bool read_ticket(struct reading *r, struct bytes plain)
{
	struct handshake message;
	struct session_ticket ticket;
	return handshake_read(&plain, plain.len, &message) == HANDSHAKE_OK &&
	       message.type == HANDSHAKE_NEW_SESSION_TICKET &&
	       session_ticket_parse(message.body, TLS_VERSION_13, &ticket) &&
	       schedule13_ticket_psk(
		       r->observer->crypto, HASH, &r->observer->resumption, ticket.nonce, &r->observer->psk);
}

static bool read_data(struct reading *r, unsigned side, const struct tls_secret *traffic, struct traffic_keys *keys)
{
	struct observer *observer = r->observer;
	struct record record;
	struct opened opened;
	struct protect *protect = protect_by(r, traffic, keys);
	bool ok = protect != NULL;
	while (ok && next_record(&r->rest[side], &record)) {
		ok = protect_open(protect, &record, r->plain, sizeof(r->plain), &opened) == PROTECT_OK;
		if (ok && opened.type == RECORD_APPLICATION_DATA)
			snprintf(observer->text[side], sizeof(observer->text[side]), "%.*s", (int)opened.plaintext.len,
				(const char *)opened.plaintext.data);
		else if (ok && opened.type == RECORD_HANDSHAKE)
			ok = read_ticket(r, opened.plaintext);
	}
	observer->next[side] = protect ? protect_sequence(protect) : 0;
	protect_free(protect);
	return ok;
}

static bool read_all(struct reading *r)
{
	struct observer *observer = r->observer;
	struct tls_secret client, server, master;
	struct traffic_keys keys;
	bool ok = transcript_choose(&r->transcript, HASH) == TRANSCRIPT_OK && read_hello(r, 0) && read_hello(r, 1) &&
	          derive(r, &observer->handshake, SCHEDULE13_C_HS_TRAFFIC, &client) &&
	          derive(r, &observer->handshake, SCHEDULE13_S_HS_TRAFFIC, &server) && read_flight(r, 1, &server) &&
	          schedule13_master(observer->crypto, HASH, &observer->handshake, &master) &&
	          derive(r, &master, SCHEDULE13_C_AP_TRAFFIC, &observer->client_traffic) &&
	          derive(r, &master, SCHEDULE13_S_AP_TRAFFIC, &observer->server_traffic) &&
	          read_flight(r, 0, &client) && derive(r, &master, SCHEDULE13_RES_MASTER, &observer->resumption) &&
	          read_data(r, 1, &observer->server_traffic, &observer->server_keys) &&
	          read_data(r, 0, &observer->client_traffic, &keys);
	return ok;
}

bool observer_read(struct observer *observer, const struct buffer wire[2])
{
	struct reading r = {.observer = observer, .rest = {buffer_bytes(&wire[0]), buffer_bytes(&wire[1])}};
	transcript_init(&r.transcript, TRANSCRIPT_CAP);
	observer->opened = observer->handshake.len > 0 && read_all(&r);
	transcript_free(&r.transcript);
	return observer->opened;
}

bool observer_forge(struct observer *observer, const char *text, struct buffer *out)
{
	uint8_t room[512];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes record;
	struct protect_setup setup = {.suite = suite_find(SUITE_VALUE),
		.version = TLS_VERSION_13,
		.keys = &observer->server_keys,
		.sequence = observer->next[1]};
	struct protect *protect = protect_new(observer->crypto, &setup);
	bool ok = protect && protect_seal(protect, RECORD_APPLICATION_DATA, bytes_str(text), 0, &w) == PROTECT_OK &&
	          writer_done(&w, &record) && buffer_add(out, record);
	protect_free(protect);
	return ok;
}

void observer_wipe(struct observer *observer)
{
	OPENSSL_cleanse(observer, sizeof(*observer));
}
