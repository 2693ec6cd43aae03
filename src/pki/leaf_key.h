/*
 * pki/leaf_key.h — the keys that minted leaves carry. The keeper makes and stores them (PKCS#8, 0600) and hands them to
 * the workers; they are never the CA's.
 */
#ifndef PKI_LEAF_KEY_H
#define PKI_LEAF_KEY_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/evp.h>

enum leaf_kind { LEAF_ECDSA, LEAF_RSA, LEAF_KINDS }; /* P-256; RSA with 2048 bits, for clients that lack ECDSA */

#define LEAF_SPKI_MAX 512
#define LEAF_KEY_DAYS 30 /* a key older than this is replaced */

struct leaf_key {
	enum leaf_kind kind;
	EVP_PKEY *pkey;
	uint8_t spki[LEAF_SPKI_MAX]; /* SubjectPublicKeyInfo, DER */
	size_t spki_len;
	uint8_t id[32]; /* SHA-256 of spki */
	int64_t made_s;
};

struct leaf_keys;

/* `state_dir` NULL: in memory only. The RSA key is made when first asked for (about 100 ms). */
must_check bool leaf_keys_open(struct leaf_keys **out, const char *state_dir, int64_t now_s, struct error *err);
void leaf_keys_free(struct leaf_keys *keys); /* wipes; NULL is allowed */
/* The present key of that kind, made or read when there is none. It stays valid until leaf_keys_renew or _free. */
must_check const struct leaf_key *leaf_keys_get(
	struct leaf_keys *keys, enum leaf_kind kind, int64_t now_s, struct error *err);
/* Whether the key is older than LEAF_KEY_DAYS. False for one not made yet. */
must_check bool leaf_keys_due(const struct leaf_keys *keys, enum leaf_kind kind, int64_t now_s);
/* Makes a new key in place of the old, which is gone: hand the new one to the workers. On false the old one stays. */
must_check bool leaf_keys_renew(struct leaf_keys *keys, enum leaf_kind kind, int64_t now_s, struct error *err);

/* PKCS#8 in DER, for a worker. The caller wipes and frees with leaf_secret_free. */
must_check bool leaf_key_export(const struct leaf_key *key, uint8_t **out, size_t *len);
void leaf_secret_free(uint8_t *secret, size_t len);
/* The same in a worker. `pkey` must be freed by leaf_key_clear. False for anything but the two kinds. */
must_check bool leaf_key_import(struct bytes pkcs8, struct leaf_key *out);
void leaf_key_clear(struct leaf_key *key);

#endif
