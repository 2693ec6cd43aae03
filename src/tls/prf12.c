#include "tls/prf12.h"

#include "tls/hmac.h"

#include <openssl/crypto.h>

#define TLS12 0x0303

bool prf12(struct crypto *crypto, enum suite_hash hash, struct bytes secret, struct bytes label,
	const struct bytes seed[3], void *out, size_t len)
{
	struct writer to = writer_over(out, len);
	struct tls_secret a = {0}, block = {0};
	struct bytes parts[5] = {BYTES_NONE, label, seed[0], seed[1], seed[2]};
	struct hmac_key key;
	bool set = hmac_key_set(&key, crypto, hash, secret);
	/* A(1) is made of the seed, each A after it of the one before. */
	bool ok = set && hmac_of(&key, parts + 1, 4, &a);
	while (ok && to.len < len) {
		parts[0] = tls_secret_bytes(&a);
		ok = hmac_of(&key, parts, 5, &block);
		size_t n = len - to.len < block.len ? len - to.len : block.len;
		writer_bytes(&to, bytes_of(block.octets, n));
		if (ok && to.len < len)
			ok = hmac_of(&key, parts, 1, &a);
	}
	if (set)
		hmac_key_wipe(&key);
	tls_secret_wipe(&a);
	tls_secret_wipe(&block);
	if (!ok)
		OPENSSL_cleanse(out, len);
	return ok;
}

static bool to_secret(struct crypto *crypto, enum suite_hash hash, struct bytes secret, const char *label,
	const struct bytes seed[3], struct tls_secret *out, size_t len)
{
	struct tls_secret fresh = {.len = len};
	bool ok = prf12(crypto, hash, secret, bytes_str(label), seed, fresh.octets, len);
	tls_secret_wipe(out);
	if (ok)
		*out = fresh;
	tls_secret_wipe(&fresh);
	return ok;
}

bool prf12_master(struct crypto *crypto, enum suite_hash hash, struct bytes premaster, struct bytes client_random,
	struct bytes server_random, struct tls_secret *master)
{
	const struct bytes seed[3] = {client_random, server_random};
	return to_secret(crypto, hash, premaster, "master secret", seed, master, PRF12_MASTER);
}

bool prf12_extended_master(struct crypto *crypto, enum suite_hash hash, struct bytes premaster,
	struct bytes session_hash, struct tls_secret *master)
{
	const struct bytes seed[3] = {session_hash};
	return to_secret(crypto, hash, premaster, "extended master secret", seed, master, PRF12_MASTER);
}

bool prf12_psk_premaster(struct bytes psk, struct bytes other, struct writer *out)
{
	/* Plain PSK has as many zeros as the key has octets in the place of the other secret. */
	if (other.len > 0) {
		writer_vec16(out, other);
	} else {
		size_t mark = writer_open(out, 2);
		for (size_t i = 0; i < psk.len && !out->full; i++)
			writer_u8(out, 0);
		writer_close(out, mark, 2);
	}
	writer_vec16(out, psk);
	return !out->full;
}

#define KEY_BLOCK_MAX (2 * (SHAPE_MAX_MAC + SHAPE_MAX_KEY + SHAPE_MAX_IV))

/* Takes the same part of both sides from the block, the client's first. */
static bool split(struct bytes *block, size_t len, uint8_t *client, uint8_t *server)
{
	struct bytes a, b;
	if (!bytes_take(block, len, &a) || !bytes_take(block, len, &b))
		return false;
	if (len > 0) {
		memcpy(client, a.data, len);
		memcpy(server, b.data, len);
	}
	return true;
}

bool prf12_keys(struct crypto *crypto, const struct suite *suite, struct bytes master, struct bytes client_random,
	struct bytes server_random, struct traffic_keys *client, struct traffic_keys *server)
{
	struct shape shape;
	uint8_t room[KEY_BLOCK_MAX];
	/* Here, and only here, the server's random comes first. */
	const struct bytes seed[3] = {server_random, client_random};
	*client = *server = (struct traffic_keys){0};
	if (!shape_of(suite, TLS12, &shape))
		return false;
	struct bytes block = bytes_of(room, 2 * ((size_t)shape.mac_key + shape.key + shape.iv));
	bool ok = prf12(crypto, suite->prf, master, bytes_str("key expansion"), seed, room, block.len) &&
	          split(&block, shape.mac_key, client->mac, server->mac) &&
	          split(&block, shape.key, client->key, server->key) && split(&block, shape.iv, client->iv, server->iv);
	OPENSSL_cleanse(room, sizeof(room));
	if (!ok) {
		traffic_keys_wipe(client);
		traffic_keys_wipe(server);
	}
	return ok;
}

bool prf12_finished(struct crypto *crypto, enum suite_hash hash, struct bytes master, bool from_client,
	struct bytes transcript, struct tls_secret *verify_data)
{
	const struct bytes seed[3] = {transcript};
	return to_secret(crypto, hash, master, from_client ? "client finished" : "server finished", seed, verify_data,
		PRF12_VERIFY_DATA);
}

bool prf12_export(struct crypto *crypto, enum suite_hash hash, struct bytes master, struct bytes label,
	struct bytes client_random, struct bytes server_random, const struct bytes *context, void *out, size_t len)
{
	uint8_t joined[2 * 32 + 2];
	struct writer w = writer_over(joined, sizeof(joined));
	struct bytes front;
	writer_bytes(&w, client_random);
	writer_bytes(&w, server_random);
	if (context)
		writer_u16(&w, (uint16_t)context->len);
	if (!writer_done(&w, &front) || (context && context->len > UINT16_MAX)) {
		OPENSSL_cleanse(out, len);
		return false;
	}
	const struct bytes seed[3] = {front, context ? *context : BYTES_NONE};
	return prf12(crypto, hash, master, label, seed, out, len);
}
