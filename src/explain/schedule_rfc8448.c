/*
 * explain/schedule_rfc8448.c — RFC 8448, 3, as a source: its records are opened with the secrets that it prints, as an
 * observer with a key log does.
 */
#include "base/text.h"
#include "explain/rfc8448.h"
#include "explain/schedule_parts.h"
#include "tls/protect.h"
#include "tls/schedule13.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define TRACE_MAX ((size_t)2048) /* octets of its longest record, and more */

static bool secret_of(const char *hex, struct tls_secret *out)
{
	return text_unhex(out->octets, sizeof(out->octets), &out->len, bytes_str(hex));
}

/* The record's handshake messages: in the clear, or opened with `traffic`. */
static bool add_record(struct crypto *crypto, const char *hex, const struct tls_secret *traffic, struct buffer *room)
{
	const struct suite *suite = suite_find(0x1301);
	uint8_t octets[TRACE_MAX], plain[TRACE_MAX];
	size_t len = 0;
	struct record record;
	struct opened opened;
	struct traffic_keys keys;
	if (!suite || !text_unhex(octets, sizeof(octets), &len, bytes_str(hex)))
		return false;
	struct bytes in = bytes_of(octets, len);
	if (record_read(&in, &record) != RECORD_OK || in.len > 0)
		return false;
	if (!traffic)
		return buffer_add(room, record.fragment);
	if (!schedule13_keys(crypto, suite, traffic, &keys))
		return false;
	struct protect_setup setup = {.suite = suite, .version = TLS_VERSION_13, .keys = &keys};
	struct protect *protect = protect_new(crypto, &setup);
	bool ok = protect && protect_open(protect, &record, plain, sizeof(plain), &opened) == PROTECT_OK &&
	          opened.type == RECORD_HANDSHAKE && buffer_add(room, opened.plaintext);
	protect_free(protect);
	traffic_keys_wipe(&keys);
	return ok;
}

bool schedule_rfc8448(struct crypto *crypto, struct buffer *room, struct schedule_source *out, struct error *err)
{
	static const char *const printed[SCHEDULE_SECRETS] = {
		[SCHEDULE_EARLY] = S3_EARLY,
		[SCHEDULE_HANDSHAKE] = S3_HANDSHAKE,
		[SCHEDULE_CLIENT_HANDSHAKE] = S3_C_HS,
		[SCHEDULE_SERVER_HANDSHAKE] = S3_S_HS,
		[SCHEDULE_MASTER] = S3_MASTER,
		[SCHEDULE_CLIENT_TRAFFIC] = S3_C_AP,
		[SCHEDULE_SERVER_TRAFFIC] = S3_S_AP,
		[SCHEDULE_EXPORTER] = S3_EXP,
		[SCHEDULE_RESUMPTION] = S3_RES,
		[SCHEDULE_TICKET] = S3_PSK,
	};
	*out = (struct schedule_source){.name = "rfc8448", .logged_by = "RFC 8448"};
	bool ok = secret_of(S3_SHARED, &out->shared);
	for (size_t i = 0; ok && i < SCHEDULE_SECRETS; i++)
		ok = !printed[i] || secret_of(printed[i], &out->known[i]);
	ok = ok && add_record(crypto, S3_CLIENT_HELLO, NULL, room) && add_record(crypto, S3_SERVER_HELLO, NULL, room) &&
	     add_record(crypto, S3_SERVER_FLIGHT, &out->known[SCHEDULE_SERVER_HANDSHAKE], room) &&
	     add_record(crypto, S3_CLIENT_FINISHED, &out->known[SCHEDULE_CLIENT_HANDSHAKE], room) &&
	     add_record(crypto, S3_TICKET, &out->known[SCHEDULE_SERVER_TRAFFIC], room);
	out->messages = buffer_bytes(room);
	return ok || error_set(err, "the trace of RFC 8448 cannot be read with this libcrypto");
}
