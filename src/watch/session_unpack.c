/* A server's Certificate message that comes packed (RFC 8879): unpacked within its stated length, once per certificate. */
#include "decode/coding.h"
#include "tls/certificate.h"
#include "tls/certificate_extra.h"
#include "watch/session_parts.h"

#include <stdlib.h>

/* zstd's window is most of it. */
#define UNPACK_MEMORY ((size_t)16 << 20)

/* As in Content-Encoding; "deflate" is zlib's form. */
static const char *const codings[] = {NULL, "deflate", "br", "zstd"};

static void take(void *ctx, struct bytes octets)
{
	/* Past the cap nothing is added, and the length does not fit. */
	(void)!buffer_add(ctx, octets);
}

static bool unpack(const struct compressed_certificate *packed, struct buffer *out)
{
	struct coding_memory memory = {.cap = UNPACK_MEMORY};
	struct coding_setup setup = {.limits = {.free = packed->length}, .memory = &memory, .give = take, .ctx = out};
	enum coding_open why;
	if (packed->algorithm == 0 || packed->algorithm >= sizeof(codings) / sizeof(*codings) ||
		packed->length > SESSION_MESSAGE_MAX)
		return false;
	struct coding *coding = coding_new(&setup, bytes_str(codings[packed->algorithm]), &why);
	if (!coding)
		return false;
	bool whole = coding_feed(coding, packed->packed) == CODING_DONE && out->len == packed->length;
	coding_free(coding);
	return whole;
}

/* What the leaf in it says, under the digest of the packed form. */
static void remember(struct session *s, struct bytes digest)
{
	struct certificate_note *note = malloc(sizeof(*note));
	if (!note) {
		s->room->counts.no_memory++;
		return;
	}
	*note = s->opening->note;
	(void)cache_put(s->room->certificates, digest, note);
}

void session_note_packed(struct session *s, struct bytes body)
{
	struct compressed_certificate packed;
	struct certificate_message certificates;
	struct certificate_entry leaf;
	struct buffer plain = {.cap = SESSION_MESSAGE_MAX};
	struct tls_secret digest;
	struct opening *opening = s->opening;
	if (!compressed_certificate_parse(body, &packed) ||
		!crypto_hash(s->room->crypto, SUITE_HASH_SHA256, body, &digest))
		return;
	const struct certificate_note *known = cache_get(s->room->certificates, tls_secret_bytes(&digest));
	if (known) {
		opening->note = *known;
		opening->has_note = true;
		return;
	}
	if (!unpack(&packed, &plain))
		s->room->counts.certificates_packed++;
	else if (certificate_parse(buffer_bytes(&plain), TLS_VERSION_13, &certificates) &&
		 certificate_next(&certificates, &leaf))
		session_note_certificate(s, leaf.der);
	buffer_clear(&plain);
	if (opening->has_note)
		remember(s, tls_secret_bytes(&digest));
}
