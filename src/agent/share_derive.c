#include "agent/share_derive.h"

#include "tls/hello.h"
#include "tls/shape.h"

#define INFO_MAX  64
#define BLOCK_MAX 256 /* octets of a key block: twice MAC key, key and IV */

static size_t hash_len(enum suite_hash hash)
{
	return hash == SUITE_HASH_SHA256 ? 32 : hash == SUITE_HASH_SHA384 ? 48 : 0;
}

/* HKDF-Expand-Label without a context, of at most one hash. */
static bool expand(const struct share_hmac *hmac, enum suite_hash hash, struct bytes secret, const char *label,
	uint8_t *out, size_t len)
{
	uint8_t room[INFO_MAX], block[SHARE_HASH_MAX];
	struct writer info = writer_over(room, sizeof(room));
	writer_u16(&info, (uint16_t)len);
	size_t mark = writer_open(&info, 1);
	writer_bytes(&info, bytes_str("tls13 "));
	writer_bytes(&info, bytes_str(label));
	writer_close(&info, mark, 1);
	writer_u8(&info, 0);
	writer_u8(&info, 1); /* the number of the block */
	bool ok = !info.full && len <= hash_len(hash) &&
	          hmac->compute(hmac->ctx, hash, secret, bytes_of(room, info.len), block);
	if (ok)
		memcpy(out, block, len);
	explicit_bzero(block, sizeof(block));
	return ok;
}

static bool is_server(enum keylog_label label)
{
	return label == KEYLOG_SERVER_HANDSHAKE || label == KEYLOG_SERVER_TRAFFIC;
}

static size_t derive13(const struct share_hmac *hmac, const struct share_secret *from, const struct suite *suite,
	const struct shape *shape, struct record_key *out)
{
	bool handshake = from->label == KEYLOG_CLIENT_HANDSHAKE || from->label == KEYLOG_SERVER_HANDSHAKE;
	if (!handshake && from->label != KEYLOG_CLIENT_TRAFFIC && from->label != KEYLOG_SERVER_TRAFFIC)
		return 0;
	out->from_client = !is_server(from->label);
	out->stage = handshake ? RECORD_STAGE_HANDSHAKE : RECORD_STAGE_APPLICATION;
	out->epoch = handshake ? 0 : from->epoch;
	return from->secret.len == hash_len(suite->prf) &&
	       expand(hmac, suite->prf, from->secret, "key", out->key, shape->key) &&
	       expand(hmac, suite->prf, from->secret, "iv", out->iv, shape->iv);
}

/* P_hash of the label and both randoms (RFC 5246, 5). */
static bool key_block(
	const struct share_hmac *hmac, enum suite_hash hash, const struct share_secret *from, uint8_t *out, size_t len)
{
	/* A(i), then the seed; A(0) is the seed itself. */
	uint8_t room[SHARE_HASH_MAX + INFO_MAX + KEYLOG_RANDOM], block[SHARE_HASH_MAX];
	size_t octets = hash_len(hash);
	struct writer seed = writer_over(room + octets, sizeof(room) - octets);
	writer_bytes(&seed, bytes_str("key expansion"));
	writer_bytes(&seed, from->server_random);
	writer_bytes(&seed, from->client_random);
	bool ok = octets > 0 && !seed.full &&
	          hmac->compute(hmac->ctx, hash, from->secret, bytes_of(seed.data, seed.len), room);
	struct writer to = writer_over(out, len);
	while (ok && to.len < len) {
		ok = hmac->compute(hmac->ctx, hash, from->secret, bytes_of(room, octets + seed.len), block);
		writer_bytes(&to, bytes_of(block, len - to.len < octets ? len - to.len : octets));
		ok = ok && hmac->compute(hmac->ctx, hash, from->secret, bytes_of(room, octets), block);
		memcpy(room, block, octets);
	}
	explicit_bzero(room, sizeof(room));
	explicit_bzero(block, sizeof(block));
	return ok;
}

static size_t derive12(const struct share_hmac *hmac, const struct share_secret *from, const struct suite *suite,
	const struct shape *shape, struct record_key out[2])
{
	uint8_t room[BLOCK_MAX];
	size_t len = 2 * ((size_t)shape->mac_key + shape->key + shape->iv);
	bool ok = from->label == KEYLOG_MASTER && from->server_random.len == KEYLOG_RANDOM && len <= sizeof(room) &&
	          shape->mac_key <= RECORD_MAC_MAX && key_block(hmac, suite->prf, from, room, len);
	struct bytes rest = bytes_of(room, ok ? len : 0);
	struct bytes part;
	out[0].from_client = true;
	out[0].stage = out[1].stage = RECORD_STAGE_APPLICATION;
	for (unsigned i = 0; i < 2; i++) {
		out[i].mac_len = shape->mac_key;
		if (bytes_take(&rest, shape->mac_key, &part) && part.len > 0)
			memcpy(out[i].mac, part.data, part.len);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (bytes_take(&rest, shape->key, &part) && part.len > 0)
			memcpy(out[i].key, part.data, part.len);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (bytes_take(&rest, shape->iv, &part) && part.len > 0)
			memcpy(out[i].iv, part.data, part.len);
	}
	explicit_bzero(room, sizeof(room));
	return ok ? 2 : 0;
}

size_t share_derive(const struct share_hmac *hmac, const struct share_secret *from, struct record_key out[2])
{
	const struct suite *suite = suite_find(from->suite);
	struct shape shape;
	memset(out, 0, 2 * sizeof(*out));
	if (!suite || from->client_random.len != KEYLOG_RANDOM || !shape_of(suite, from->version, &shape) ||
		shape.key > RECORD_KEY_MAX || shape.iv > RECORD_IV_MAX)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		memcpy(out[i].client_random, from->client_random.data, KEYLOG_RANDOM);
		out[i].version = from->version;
		out[i].suite = from->suite;
		out[i].key_len = shape.key;
		out[i].iv_len = shape.iv;
	}
	return from->version == TLS_VERSION_13 ? derive13(hmac, from, suite, &shape, out)
	                                       : derive12(hmac, from, suite, &shape, out);
}

size_t share_derive_next(
	const struct share_hmac *hmac, const struct share_secret *from, uint8_t out[static SHARE_HASH_MAX])
{
	const struct suite *suite = suite_find(from->suite);
	size_t len = suite ? hash_len(suite->prf) : 0;
	bool ok = from->version == TLS_VERSION_13 && len > 0 && from->secret.len == len &&
	          expand(hmac, suite->prf, from->secret, "traffic upd", out, len);
	return ok ? len : 0;
}
