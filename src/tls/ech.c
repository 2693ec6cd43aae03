#include "tls/ech.h"

#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/schedule13.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define ECH_VERSION          0xfe0d
#define OUTER                0
#define INNER                1
#define EXT_OUTER_EXTENSIONS 0xfd00
/* Where a ServerHello's random ends: header, version, random. */
#define RANDOM_END (HANDSHAKE_HEADER + 2 + HELLO_RANDOM)

bool ech_offer_of(const struct client_hello *hello, struct ech_offer *out)
{
	struct extension ext;
	uint8_t type;
	return extension_find(hello->extensions, EXT_ENCRYPTED_CLIENT_HELLO, &ext) && bytes_u8(&ext.data, &type) &&
	       type == OUTER && bytes_u16(&ext.data, &out->kdf) && bytes_u16(&ext.data, &out->aead) &&
	       bytes_u8(&ext.data, &out->config) && bytes_vec16(&ext.data, &out->enc) &&
	       bytes_vec16(&ext.data, &out->payload) && ext.data.len == 0 && out->payload.len > 0;
}

/* Takes one ECHConfig from the front. */
static bool config_next(struct bytes *in, struct bytes *whole, uint16_t *version, uint8_t *id, uint16_t *kem)
{
	struct bytes rest = *in, contents;
	if (!bytes_u16(&rest, version) || !bytes_vec16(&rest, &contents))
		return false;
	*whole = bytes_of(in->data, in->len - rest.len);
	*in = rest;
	return *version != ECH_VERSION || (bytes_u8(&contents, id) && bytes_u16(&contents, kem));
}

bool ech_begin(struct crypto *crypto, const struct ech_offer *offer, struct bytes config, struct bytes shared,
	struct ech_context *out)
{
	struct bytes list = config, in = config, whole;
	uint16_t version, kem = 0;
	uint8_t id = 0;
	/* A list says how long it is. */
	if (bytes_vec16(&list, &whole) && list.len == 0)
		in = whole;
	while (config_next(&in, &whole, &version, &id, &kem)) {
		if (version != ECH_VERSION || id != offer->config)
			continue;
		static const uint8_t zero[1];
		struct bytes info[3] = {bytes_str("tls ech"), bytes_of(zero, sizeof(zero)), whole};
		return ech_context_begin(
			crypto, (struct ech_suite){kem, offer->kdf, offer->aead}, shared, info, 3, out);
	}
	return false;
}

/* Copies the outer extensions that are named, in their order there, each at most once (RFC 9849, 5.1). */
static bool copy_outer(struct bytes named, struct bytes outer, struct writer *w)
{
	struct bytes types;
	struct extension ext;
	uint16_t type;
	if (!bytes_vec8(&named, &types) || named.len > 0 || types.len == 0)
		return false;
	while (bytes_u16(&types, &type)) {
		bool found = false;
		while (!found && extension_next(&outer, &ext))
			found = ext.type == type;
		if (!found || type == EXT_ENCRYPTED_CLIENT_HELLO)
			return false;
		writer_u16(w, type);
		writer_vec16(w, ext.data);
	}
	return types.len == 0;
}

static bool expand_extensions(struct bytes inner, struct bytes outer, struct writer *w)
{
	struct extension ext;
	bool seen = false;
	while (extension_next(&inner, &ext)) {
		if (ext.type != EXT_OUTER_EXTENSIONS) {
			writer_u16(w, ext.type);
			writer_vec16(w, ext.data);
			continue;
		}
		if (seen || !copy_outer(ext.data, outer, w))
			return false;
		seen = true;
	}
	return inner.len == 0;
}

/* An EncodedClientHelloInner as the message that it stands for. */
static enum ech_result decode(struct bytes encoded, const struct client_hello *outer, struct writer *w)
{
	struct bytes front, session, suites, compression, extensions;
	struct client_hello check;
	struct bytes rest = encoded, body;
	struct writer before = *w;
	if (!bytes_take(&rest, 2 + HELLO_RANDOM, &front) || !bytes_vec8(&rest, &session) || session.len > 0 ||
		!bytes_vec16(&rest, &suites) || !bytes_vec8(&rest, &compression) || !bytes_vec16(&rest, &extensions))
		return ECH_BAD_INNER;
	for (size_t i = 0; i < rest.len; i++)
		if (rest.data[i] != 0)
			return ECH_BAD_INNER;
	writer_u8(w, HANDSHAKE_CLIENT_HELLO);
	size_t message = writer_open(w, 3);
	writer_bytes(w, front);
	writer_vec8(w, outer->session_id);
	writer_vec16(w, suites);
	writer_vec8(w, compression);
	size_t block = writer_open(w, 2);
	bool good = expand_extensions(extensions, outer->extensions, w);
	writer_close(w, block, 2);
	writer_close(w, message, 3);
	if (w->full) {
		*w = before;
		return ECH_NO_ROOM;
	}
	body = bytes_of(w->data + before.len + HANDSHAKE_HEADER, w->len - before.len - HANDSHAKE_HEADER);
	if (good && client_hello_parse(body, &check) == HELLO_OK && check.ech == ECH_INNER)
		return ECH_OK;
	*w = before;
	return ECH_BAD_INNER;
}

enum ech_result ech_open(struct crypto *crypto, const struct ech_context *hpke, uint64_t sequence,
	const struct client_hello *outer, struct writer *inner)
{
	struct ech_offer offer;
	if (!ech_offer_of(outer, &offer) || offer.payload.len < ECH_TAG)
		return ECH_SEALED;
	size_t len = offer.payload.len - ECH_TAG;
	/* The hello, its payload zeroed; behind it the plaintext. */
	uint8_t *room = malloc(outer->body.len + len + 1);
	if (!room)
		return ECH_NO_ROOM;
	memcpy(room, outer->body.data, outer->body.len);
	memset(room + (offer.payload.data - outer->body.data), 0, offer.payload.len);
	enum ech_result result = ECH_SEALED;
	if (ech_context_open(
		    crypto, hpke, sequence, bytes_of(room, outer->body.len), offer.payload, room + outer->body.len))
		result = decode(bytes_of(room + outer->body.len, len), outer, inner);
	OPENSSL_cleanse(room, outer->body.len + len + 1);
	free(room);
	return result;
}

bool ech_accepted(struct crypto *crypto, enum suite_hash hash, struct bytes inner_random,
	const struct transcript *before, struct bytes server_hello)
{
	static const uint8_t zeros[TLS_SECRET_MAX];
	struct transcript with;
	struct tls_secret value, secret = {0};
	uint8_t made[ECH_CONFIRMATION];
	struct bytes rest = server_hello, front, sent;
	if (!bytes_take(&rest, RANDOM_END - ECH_CONFIRMATION, &front) || !bytes_take(&rest, ECH_CONFIRMATION, &sent))
		return false;
	bool ok = transcript_copy(before, &with) == TRANSCRIPT_OK && transcript_add(&with, front) == TRANSCRIPT_OK &&
	          transcript_add(&with, bytes_of(zeros, ECH_CONFIRMATION)) == TRANSCRIPT_OK &&
	          transcript_add(&with, rest) == TRANSCRIPT_OK && transcript_value(&with, &value) == TRANSCRIPT_OK &&
	          hkdf_extract(crypto, hash, bytes_of(zeros, crypto_hash_len(hash)), inner_random, &secret) &&
	          hkdf_expand_label(crypto, hash, tls_secret_bytes(&secret), bytes_str("ech accept confirmation"),
			  tls_secret_bytes(&value), made, sizeof(made)) &&
	          bytes_equal(bytes_of(made, sizeof(made)), sent);
	transcript_free(&with);
	tls_secret_wipe(&secret);
	return ok;
}
