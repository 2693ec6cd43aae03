#include "explain/schedule_reader.h"
#include "tls/psk.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)1024 * 1024) /* octets of one message, and of what is held of a side */

static const char *const side_name[2] = {"client", "server"};

/* In TLS 1.3, ChangeCipherSpec and what comes before keys are records in the clear. */
static bool is_clear(const struct reader *r, const struct reader_side *side, const struct record *record)
{
	return !side->opens || (r->version == TLS_VERSION_13 && record->type != RECORD_APPLICATION_DATA);
}

static enum reader_piece content(struct reader_side *side, uint8_t type, struct bytes octets)
{
	switch (type) {
	case RECORD_HANDSHAKE:
		return buffer_add(&side->held, octets) ? READER_MESSAGE : READER_CLOSED;
	case RECORD_CHANGE_CIPHER_SPEC:
		return READER_CHANGE;
	case RECORD_ALERT:
		return READER_ALERT;
	default:
		return READER_DATA;
	}
}

static enum reader_piece read_one(struct reader *r, struct reader_side *side)
{
	struct record record;
	struct opened opened;
	if (record_read(&side->rest, &record) != RECORD_OK)
		return READER_END;
	side->number++;
	if (is_clear(r, side, &record))
		return content(side, record.type, record.fragment);
	if (protect_open(side->opens, &record, r->scratch, sizeof(r->scratch), &opened) != PROTECT_OK) {
		if (side->opened)
			side->opened->refused = true;
		return READER_CLOSED;
	}
	if (side->opened && side->opened->count++ == 0)
		side->opened->first = side->number;
	return content(side, opened.type, opened.plaintext);
}

enum reader_piece reader_next(struct reader *r, unsigned which, struct handshake *message)
{
	struct reader_side *side = &r->side[which];
	enum reader_piece piece = READER_MESSAGE;
	while (piece == READER_MESSAGE) {
		struct bytes held = buffer_bytes(&side->held);
		if (handshake_read(&held, MESSAGE_MAX, message) == HANDSHAKE_OK)
			return READER_MESSAGE;
		piece = read_one(r, side);
	}
	return piece;
}

bool reader_keep(struct reader *r, const struct handshake *message)
{
	return buffer_add(r->room, message->whole) || error_set(r->err, "the handshake is too long to be shown");
}

bool reader_stuck(struct reader *r, unsigned side, enum reader_piece piece, const char *wanted)
{
	const char *who = side_name[side];
	unsigned long long number = r->side[side].number;
	switch (piece) {
	case READER_CLOSED:
		return error_set(r->err,
			"record %llu of the %s does not open with the keys of the key log, before its %s came", number,
			who, wanted);
	case READER_ALERT:
		return error_set(r->err, "the %s ended the handshake with an alert, in its record %llu", who, number);
	case READER_END:
		return error_set(r->err, "the %s's %s is missing: %s", who, wanted,
			r->side[side].because ? r->side[side].because : "the connection ends before it");
	default:
		return error_set(
			r->err, "the %s's %s was expected, and its record %llu is something else", who, wanted, number);
	}
}

bool reader_until(struct reader *r, unsigned side, uint8_t type, bool past_closed)
{
	struct handshake message;
	for (;;) {
		enum reader_piece piece = reader_next(r, side, &message);
		if (piece == READER_CHANGE || (piece == READER_CLOSED && past_closed))
			continue;
		if (piece == READER_DATA && r->side[side].opened)
			continue; /* 0-RTT data */
		if (piece != READER_MESSAGE)
			return reader_stuck(r, side, piece, handshake_type_name(type));
		uint8_t got = message.type;
		if (!reader_keep(r, &message))
			return false;
		buffer_drop(&r->side[side].held, message.whole.len);
		if (got == type)
			return true;
	}
}

bool reader_key(struct reader *r, unsigned which, const struct traffic_keys *keys, struct schedule_opened *opened)
{
	struct reader_side *side = &r->side[which];
	const struct protect_setup setup = {
		.suite = r->suite, .version = r->version, .encrypt_then_mac = r->etm, .keys = keys};
	protect_free(side->opens);
	side->opened = opened;
	side->opens = protect_new(r->crypto, &setup);
	return side->opens != NULL || error_set(r->err, "%s: its records cannot be opened here: %s", r->suite->name,
					      protect_support_text(protect_supports(r->crypto, r->suite, r->version)));
}

/* Why not all was read, where that is so. What was said already is the cause of what comes after it. */
static bool end_of(struct reader *r, unsigned side, enum reader_piece piece)
{
	const char **ended = &r->source->ended[side];
	if (!*ended)
		*ended = piece == READER_CLOSED ? "a record does not open with the keys that there are"
		                                : r->side[side].because;
	return true;
}

bool reader_rest(
	struct reader *r, unsigned side, bool (*each)(struct reader *r, unsigned side, const struct handshake *message))
{
	struct handshake message;
	for (;;) {
		enum reader_piece piece = reader_next(r, side, &message);
		if (piece == READER_CLOSED || piece == READER_END)
			return end_of(r, side, piece);
		if (piece != READER_MESSAGE)
			continue;
		size_t len = message.whole.len;
		if (each && !each(r, side, &message))
			return false;
		buffer_drop(&r->side[side].held, len);
	}
}

/* Hellos. */

enum schedule_opening schedule_streams_random(
	struct collect *collect, struct bytes from_client, uint8_t random[HELLO_RANDOM])
{
	struct client_hello hello;
	enum collect_result result = collect_more(collect, from_client);
	if (result == COLLECT_NEED_MORE)
		return SCHEDULE_MORE;
	if (result == COLLECT_NO_ROOM)
		return SCHEDULE_NO_ROOM;
	if (result != COLLECT_DONE || client_hello_parse(collect->body, &hello) != HELLO_OK)
		return SCHEDULE_NO_HELLO;
	memcpy(random, hello.random.data, HELLO_RANDOM);
	return SCHEDULE_HELLO;
}

/* The message that was kept last. */
static bool parse_last(struct reader *r, size_t from, struct client_hello *client, struct server_hello *server)
{
	struct handshake message;
	struct bytes kept = buffer_bytes(r->room);
	if (!bytes_skip(&kept, from) || handshake_read(&kept, MESSAGE_MAX, &message) != HANDSHAKE_OK)
		return error_set(r->err, "a hello is cut short");
	enum hello_result result =
		client ? client_hello_parse(message.body, client) : server_hello_parse(message.body, server);
	return result == HELLO_OK || error_set(r->err, "a hello cannot be read: %s", hello_result_text(result));
}

static bool keep_random(struct reader *r, unsigned side, struct bytes random)
{
	struct writer w = writer_over(r->random[side], HELLO_RANDOM);
	struct bytes done;
	writer_bytes(&w, random);
	return (writer_done(&w, &done) && done.len == HELLO_RANDOM) || error_set(r->err, "a hello has no random");
}

static bool read_client_hello(struct reader *r)
{
	struct client_hello hello = {0};
	size_t from = r->room->len;
	if (!reader_until(r, READER_CLIENT, HANDSHAKE_CLIENT_HELLO, false) || !parse_last(r, from, &hello, NULL))
		return false;
	r->early_offered |= hello.has_early_data;
	return keep_random(r, READER_CLIENT, hello.random);
}

static bool read_server_hello(struct reader *r, struct server_hello *hello)
{
	size_t from = r->room->len;
	*hello = (struct server_hello){0};
	return reader_until(r, READER_SERVER, HANDSHAKE_SERVER_HELLO, false) && parse_last(r, from, NULL, hello);
}

static bool read_hellos(struct reader *r)
{
	struct server_hello hello;
	if (!read_client_hello(r) || !read_server_hello(r, &hello))
		return false;
	if (hello.retry && (!read_client_hello(r) || !read_server_hello(r, &hello)))
		return false;
	r->suite = suite_find(hello.suite);
	r->version = hello.version;
	r->etm = hello.has_encrypt_then_mac;
	r->ems = hello.has_extended_master_secret;
	r->session_len = (uint8_t)hello.session_id.len;
	if (hello.session_id.len > 0)
		memcpy(r->session_id, hello.session_id.data, hello.session_id.len);
	if (hello.version != TLS_VERSION_12 && hello.version != TLS_VERSION_13)
		return error_set(r->err, "the connection is of %s (0x%04x), of which the key schedule is not told",
			tls_version_name(hello.version) ? tls_version_name(hello.version) : "an unknown version",
			hello.version);
	if (!r->suite)
		return error_set(r->err, "cipher suite 0x%04x is not known here", hello.suite);
	return keep_random(r, READER_SERVER, hello.random);
}

/* An external one at hand, which its binder will have to bear out: the walk compares it. */
static void find_psk(struct reader *r, struct keyring *ring)
{
	struct client_hello client;
	struct server_hello server;
	struct handshake message;
	struct bytes kept = buffer_bytes(r->room), identity, binder, hello = BYTES_NONE;
	struct secret key = {0};
	while (handshake_read(&kept, MESSAGE_MAX, &message) == HANDSHAKE_OK) {
		if (message.type == HANDSHAKE_CLIENT_HELLO)
			hello = message.body;
		else if (message.type == HANDSHAKE_SERVER_HELLO &&
			 server_hello_parse(message.body, &server) == HELLO_OK && server.has_psk &&
			 client_hello_parse(hello, &client) == HELLO_OK &&
			 psk_at(&client, server.psk_index, &identity, &binder) && keyring_psk(ring, identity, 0, &key))
			(void)!tls_secret_set(&r->source->psk, secret_bytes(&key));
	}
	secret_wipe(&key);
}

bool schedule_streams_read(struct crypto *crypto, const struct schedule_streams *streams, struct keyring *ring,
	struct buffer *room, struct schedule_source *out, struct error *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	*out = (struct schedule_source){.name = "capture", .logged_by = "the key log", .captured = true};
	if (!r)
		return error_set(err, "no memory");
	*r = (struct reader){.crypto = crypto, .room = room, .source = out, .err = err};
	for (unsigned i = 0; i < 2; i++)
		r->side[i] = (struct reader_side){
			.rest = streams->octets[i], .held = {.cap = MESSAGE_MAX}, .because = streams->because[i]};
	bool ok = read_hellos(r);
	if (ok && r->version == TLS_VERSION_13) {
		(void)keyring_find_random(ring, bytes_of(r->random[READER_CLIENT], HELLO_RANDOM), &r->keys);
		find_psk(r, ring);
		ok = reader_tls13(r);
	} else if (ok) {
		ok = reader_tls12(r, ring);
	}
	out->messages = buffer_bytes(room);
	for (unsigned i = 0; i < 2; i++) {
		protect_free(r->side[i].opens);
		if (r->side[i].held.data)
			OPENSSL_cleanse(r->side[i].held.data, r->side[i].held.room);
		buffer_clear(&r->side[i].held);
	}
	keyset_free(&r->keys);
	OPENSSL_cleanse(r, sizeof(*r));
	free(r);
	return ok;
}
