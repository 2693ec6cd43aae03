/*
 * keys/reader.h — key pairs in files: a reader's (X25519) and a signer's of grants (Ed25519), as PEM (PKCS#8 and
 * SubjectPublicKeyInfo, RFC 8410). From and to octets; no I/O.
 */
#ifndef KEYS_READER_H
#define KEYS_READER_H

#include "base/bytes.h"
#include "base/error.h"
#include "keys/secret.h"

#define READER_KEY     32
#define READER_PEM_MAX 512

enum reader_kind { READER_X25519, READER_ED25519 };

/* A fresh private key: `*out` has READER_KEY octets. */
must_check bool reader_make(struct secret *out);
/* PEM of a private key, which is a secret, and of its public key. Returns octets written to `pem`; 0 on failure. */
must_check size_t reader_private_pem(enum reader_kind kind, const struct secret *key, char pem[static READER_PEM_MAX]);
must_check size_t reader_public_pem(
	enum reader_kind kind, const uint8_t public_key[static READER_KEY], char pem[static READER_PEM_MAX]);
/* Of a private key. */
must_check bool reader_public(enum reader_kind kind, const struct secret *key, uint8_t public_key[static READER_KEY]);
/* `name` is that of the file, for the sentence. */
must_check bool reader_private_read(
	enum reader_kind kind, struct bytes pem, const char *name, struct secret *out, struct error *err);
must_check bool reader_public_read(enum reader_kind kind, struct bytes pem, const char *name,
	uint8_t public_key[static READER_KEY], struct error *err);

#endif
