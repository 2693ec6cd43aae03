#include "tls/schedule13.h"

#include "tls/hmac.h"

#include <openssl/crypto.h>

bool hkdf_extract(
	struct crypto *crypto, enum suite_hash hash, struct bytes salt, struct bytes ikm, struct tls_secret *out)
{
	/* A salt of zeros and no salt are the same key to HMAC. */
	return crypto_hmac(crypto, hash, salt, &ikm, 1, out);
}

/* HKDF-Expand (RFC 5869, 2.3). */
static bool expand(const struct hmac_key *secret, struct bytes info, struct writer *out, size_t len)
{
	struct tls_secret block = {0};
	bool ok = true;
	for (unsigned i = 1; ok && len > 0; i++) {
		uint8_t counter = (uint8_t)i;
		struct bytes parts[3] = {tls_secret_bytes(&block), info, bytes_of(&counter, 1)};
		ok = hmac_of(secret, parts, 3, &block);
		size_t n = len < block.len ? len : block.len;
		writer_bytes(out, bytes_of(block.octets, n));
		len -= n;
	}
	tls_secret_wipe(&block);
	return ok;
}

static bool expand_to(const struct hmac_key *secret, struct bytes info, void *out, size_t len)
{
	struct writer to = writer_over(out, len);
	struct bytes written;
	if (len <= 255 * crypto_hash_len(secret->hash) && expand(secret, info, &to, len) &&
		writer_done(&to, &written) && written.len == len)
		return true;
	OPENSSL_cleanse(out, len);
	return false;
}

bool hkdf_expand(
	struct crypto *crypto, enum suite_hash hash, struct bytes secret, struct bytes info, void *out, size_t len)
{
	struct hmac_key key;
	if (!hmac_key_set(&key, crypto, hash, secret)) {
		OPENSSL_cleanse(out, len);
		return false;
	}
	bool ok = expand_to(&key, info, out, len);
	hmac_key_wipe(&key);
	return ok;
}

/* struct HkdfLabel: length, label with its prefix, context, both of at most 255 octets. */
#define LABEL_MAX (2 + 256 + 256)

static bool expand_label(const struct hmac_key *secret, struct bytes label, struct bytes context, void *out, size_t len)
{
	uint8_t room[LABEL_MAX];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes info;
	writer_u16(&w, (uint16_t)len);
	size_t mark = writer_open(&w, 1);
	writer_bytes(&w, bytes_str("tls13 "));
	writer_bytes(&w, label);
	writer_close(&w, mark, 1);
	writer_vec8(&w, context);
	if (writer_done(&w, &info))
		return expand_to(secret, info, out, len);
	OPENSSL_cleanse(out, len);
	return false;
}

bool hkdf_expand_label(struct crypto *crypto, enum suite_hash hash, struct bytes secret, struct bytes label,
	struct bytes context, void *out, size_t len)
{
	struct hmac_key key;
	if (!hmac_key_set(&key, crypto, hash, secret)) {
		OPENSSL_cleanse(out, len);
		return false;
	}
	bool ok = expand_label(&key, label, context, out, len);
	hmac_key_wipe(&key);
	return ok;
}

/* HKDF-Expand-Label to the length of the hash. `from` and `out` may be the same. */
static bool expand_secret(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *from, const char *label,
	struct bytes context, struct tls_secret *out)
{
	struct tls_secret fresh = {.len = crypto_hash_len(hash)};
	bool ok = fresh.len > 0 && hkdf_expand_label(crypto, hash, tls_secret_bytes(from), bytes_str(label), context,
					   fresh.octets, fresh.len);
	tls_secret_wipe(out);
	if (ok)
		*out = fresh;
	tls_secret_wipe(&fresh);
	return ok;
}

/* Derive-Secret with this transcript hash; BYTES_NONE: that of no messages. */
static bool derive(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *from, const char *label,
	struct bytes transcript, struct tls_secret *out)
{
	struct tls_secret empty = {0};
	if (transcript.len == 0) {
		if (!crypto_hash(crypto, hash, BYTES_NONE, &empty)) {
			tls_secret_wipe(out);
			return false;
		}
		transcript = tls_secret_bytes(&empty);
	}
	return expand_secret(crypto, hash, from, label, transcript, out);
}

/* HKDF-Extract where an input that is not there is as many zeros as the hash has octets. */
static bool extract(
	struct crypto *crypto, enum suite_hash hash, struct bytes salt, struct bytes input, struct tls_secret *out)
{
	static const uint8_t zeros[TLS_SECRET_MAX];
	if (input.len == 0)
		input = bytes_of(zeros, crypto_hash_len(hash));
	if (hkdf_extract(crypto, hash, salt, input, out))
		return true;
	tls_secret_wipe(out);
	return false;
}

bool schedule13_early(struct crypto *crypto, enum suite_hash hash, struct bytes psk, struct tls_secret *early)
{
	return extract(crypto, hash, BYTES_NONE, psk, early);
}

static bool next_stage(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *from, struct bytes input,
	struct tls_secret *out)
{
	struct tls_secret salt = {0};
	bool ok = derive(crypto, hash, from, "derived", BYTES_NONE, &salt) &&
	          extract(crypto, hash, tls_secret_bytes(&salt), input, out);
	if (!ok)
		tls_secret_wipe(out);
	tls_secret_wipe(&salt);
	return ok;
}

bool schedule13_handshake(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *early,
	struct bytes shared, struct tls_secret *handshake)
{
	return next_stage(crypto, hash, early, shared, handshake);
}

bool schedule13_master(
	struct crypto *crypto, enum suite_hash hash, const struct tls_secret *handshake, struct tls_secret *master)
{
	return next_stage(crypto, hash, handshake, BYTES_NONE, master);
}

bool schedule13_derive(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *from,
	enum schedule13_label label, struct bytes transcript, struct tls_secret *out)
{
	static const char *const labels[] = {
		[SCHEDULE13_EXT_BINDER] = "ext binder",
		[SCHEDULE13_RES_BINDER] = "res binder",
		[SCHEDULE13_C_E_TRAFFIC] = "c e traffic",
		[SCHEDULE13_E_EXP_MASTER] = "e exp master",
		[SCHEDULE13_C_HS_TRAFFIC] = "c hs traffic",
		[SCHEDULE13_S_HS_TRAFFIC] = "s hs traffic",
		[SCHEDULE13_C_AP_TRAFFIC] = "c ap traffic",
		[SCHEDULE13_S_AP_TRAFFIC] = "s ap traffic",
		[SCHEDULE13_EXP_MASTER] = "exp master",
		[SCHEDULE13_RES_MASTER] = "res master",
	};
	return derive(crypto, hash, from, labels[label], transcript, out);
}

bool schedule13_keys(
	struct crypto *crypto, const struct suite *suite, const struct tls_secret *traffic, struct traffic_keys *out)
{
	struct shape shape;
	struct hmac_key secret;
	*out = (struct traffic_keys){0};
	if (!shape_of(suite, 0x0304, &shape) || !hmac_key_set(&secret, crypto, suite->prf, tls_secret_bytes(traffic)))
		return false;
	bool ok = expand_label(&secret, bytes_str("key"), BYTES_NONE, out->key, shape.key) &&
	          expand_label(&secret, bytes_str("iv"), BYTES_NONE, out->iv, shape.iv);
	hmac_key_wipe(&secret);
	if (!ok)
		traffic_keys_wipe(out);
	return ok;
}

bool schedule13_next(
	struct crypto *crypto, enum suite_hash hash, const struct tls_secret *traffic, struct tls_secret *next)
{
	return expand_secret(crypto, hash, traffic, "traffic upd", BYTES_NONE, next);
}

bool schedule13_finished(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *base,
	struct bytes transcript, struct tls_secret *verify_data)
{
	struct tls_secret key = {0};
	bool ok = expand_secret(crypto, hash, base, "finished", BYTES_NONE, &key) &&
	          crypto_hmac(crypto, hash, tls_secret_bytes(&key), &transcript, 1, verify_data);
	if (!ok)
		tls_secret_wipe(verify_data);
	tls_secret_wipe(&key);
	return ok;
}

bool schedule13_ticket_psk(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *res_master,
	struct bytes nonce, struct tls_secret *psk)
{
	return expand_secret(crypto, hash, res_master, "resumption", nonce, psk);
}

bool schedule13_export(struct crypto *crypto, enum suite_hash hash, const struct tls_secret *master, struct bytes label,
	struct bytes context, void *out, size_t len)
{
	struct tls_secret empty = {0}, digest = {0}, secret = {.len = crypto_hash_len(hash)};
	bool ok = crypto_hash(crypto, hash, BYTES_NONE, &empty) && crypto_hash(crypto, hash, context, &digest) &&
	          hkdf_expand_label(crypto, hash, tls_secret_bytes(master), label, tls_secret_bytes(&empty),
			  secret.octets, secret.len) &&
	          hkdf_expand_label(crypto, hash, tls_secret_bytes(&secret), bytes_str("exporter"),
			  tls_secret_bytes(&digest), out, len);
	if (!ok)
		OPENSSL_cleanse(out, len);
	tls_secret_wipe(&secret);
	return ok;
}
