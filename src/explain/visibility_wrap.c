/* explain/visibility_wrap.c — secrets of a session, wrapped for the holder of SSWrapDH1 (draft-rhrd-tls-tls13-visibility-01). */
#include "explain/visibility_parts.h"
#include "keys/hpke.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define SECRETS_MAX 256
static const char info[] = "overt explain visibility";

bool visibility_pair_make(struct visibility_pair *pair)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	size_t own = sizeof(pair->own), public = sizeof(pair->public);
	bool ok = key && EVP_PKEY_get_raw_private_key(key, pair->own, &own) == 1 &&
	          EVP_PKEY_get_raw_public_key(key, pair->public, &public) == 1;
	EVP_PKEY_free(key);
	return ok;
}

bool visibility_agree(const uint8_t own[VISIBILITY_KEY], struct bytes peer, struct tls_secret *out)
{
	EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, own, VISIBILITY_KEY);
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer.data, peer.len);
	EVP_PKEY_CTX *ctx = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
	size_t len = sizeof(out->octets);
	bool ok = theirs && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, theirs) == 1 &&
	          EVP_PKEY_derive(ctx, out->octets, &len) == 1;
	out->len = ok ? len : 0;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(mine);
	EVP_PKEY_free(theirs);
	return ok;
}

static bool fingerprint(const uint8_t key[VISIBILITY_KEY], uint8_t out[EVP_MAX_MD_SIZE])
{
	return EVP_Digest(key, VISIBILITY_KEY, out, NULL, EVP_sha256(), NULL) == 1;
}

void visibility_wrap(struct writer *w, const uint8_t reader[VISIBILITY_KEY], const struct tls_secret *early,
	const struct tls_secret *handshake)
{
	uint8_t digest[EVP_MAX_MD_SIZE], dh2[HPKE_KEY], plain[SECRETS_MAX], sealed[SECRETS_MAX + HPKE_TAG];
	struct writer inner = writer_over(plain, sizeof(plain));
	struct bytes secrets;
	struct hpke hpke;
	writer_vec8(&inner, tls_secret_bytes(early));
	writer_vec8(&inner, tls_secret_bytes(handshake));
	if (!writer_done(&inner, &secrets) || !fingerprint(reader, digest) ||
		!hpke_send(&hpke, dh2, reader, bytes_of(info, sizeof(info) - 1))) {
		w->full = true;
		return;
	}
	hpke_seal(&hpke, 0, BYTES_NONE, secrets, sealed);
	writer_vec8(w, bytes_of(digest, VISIBILITY_FINGERPRINT));
	writer_vec16(w, bytes_of(dh2, sizeof(dh2)));
	writer_vec16(w, bytes_of(sealed, secrets.len + HPKE_TAG));
	hpke_wipe(&hpke);
	OPENSSL_cleanse(plain, sizeof(plain));
}

bool visibility_unwrap(
	struct bytes data, const struct visibility_pair *reader, struct tls_secret *early, struct tls_secret *handshake)
{
	uint8_t digest[EVP_MAX_MD_SIZE], plain[SECRETS_MAX];
	struct bytes name, dh2, sealed, first, second;
	struct hpke hpke;
	if (!bytes_vec8(&data, &name) || !bytes_vec16(&data, &dh2) || !bytes_vec16(&data, &sealed) || data.len > 0 ||
		dh2.len != HPKE_KEY || sealed.len < HPKE_TAG || sealed.len > sizeof(plain) + HPKE_TAG)
		return false;
	if (!fingerprint(reader->public, digest) || !bytes_equal(name, bytes_of(digest, VISIBILITY_FINGERPRINT)) ||
		!hpke_receive(&hpke, dh2.data, reader->own, bytes_of(info, sizeof(info) - 1)))
		return false;
	bool ok = hpke_open(&hpke, 0, BYTES_NONE, sealed, plain);
	struct bytes secrets = bytes_of(plain, sealed.len - HPKE_TAG);
	ok = ok && bytes_vec8(&secrets, &first) && bytes_vec8(&secrets, &second) && tls_secret_set(early, first) &&
	     tls_secret_set(handshake, second);
	hpke_wipe(&hpke);
	OPENSSL_cleanse(plain, sizeof(plain));
	return ok;
}
