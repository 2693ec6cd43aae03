/*
 * tls/sigalg.h — signature schemes (IANA "TLS SignatureScheme"), the pairs of hash and signature of TLS 1.2 included
 * (RFC 5246, 7.4.1.4.1). A constant table; no I/O, no allocation.
 */
#ifndef TLS_SIGALG_H
#define TLS_SIGALG_H

#include "base/bytes.h"

#define SIGALG_RSA_PKCS1_SHA256       0x0401
#define SIGALG_ECDSA_SECP256R1_SHA256 0x0403
#define SIGALG_RSA_PSS_RSAE_SHA256    0x0804
#define SIGALG_ED25519                0x0807

/* The kind of key that makes the signature: what a certificate must hold. */
enum sigalg_key {
	SIGALG_RSA, /* rsaEncryption, PKCS #1 v1.5 */
	SIGALG_RSA_PSS_RSAE,
	SIGALG_RSA_PSS_PSS, /* id-RSASSA-PSS keys */
	SIGALG_DSA,
	SIGALG_ECDSA,
	SIGALG_ED25519_KEY,
	SIGALG_ED448_KEY,
	SIGALG_SM2,
	SIGALG_GOST,
	SIGALG_MLDSA,
};

struct sigalg {
	const char *name; /* IANA's, or for the pairs of TLS 1.2 without one: "dsa_sha256" in the same manner */
	const char
		*openssl; /* for SSL_set1_sigalgs_list; NULL when it has no name there. As with groups, try it once. */
	uint32_t since;   /* OPENSSL_VERSION_NUMBER from which on the name is known, 0 for all of 3.x */
	enum sigalg_key key;
	uint16_t value;
	uint16_t group; /* curve that TLS 1.3 ties to it, else 0 */
	bool tls13;     /* may sign a TLS 1.3 handshake (RFC 8446, 4.2.3) */
	bool weak;      /* MD5, SHA-1, or DSA */
};

/* NULL when the value is not in the table. */
must_check const struct sigalg *sigalg_find(uint16_t value);
/* By IANA's or OpenSSL's name, letters of either case; NULL when there is none. */
must_check const struct sigalg *sigalg_by_name(struct bytes name);
/* The name; "GREASE"; NULL when unknown. */
must_check const char *sigalg_name(uint16_t value);
/* The table in order of value; NULL at and past its end. */
must_check const struct sigalg *sigalg_at(size_t index);

#endif
