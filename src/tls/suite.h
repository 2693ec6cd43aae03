/*
 * tls/suite.h — the registered cipher suites (IANA "TLS Cipher Suites") that occur in the field, with what each is made
 * of and how good it is. A constant table; no I/O, no allocation.
 */
#ifndef TLS_SUITE_H
#define TLS_SUITE_H

#include "base/bytes.h"

/* Values of the registry that are no suites but signals (RFC 5746, RFC 7507). */
#define SUITE_EMPTY_RENEGOTIATION_INFO_SCSV 0x00ff
#define SUITE_FALLBACK_SCSV                 0x5600

enum suite_kx {
	SUITE_KX_ANY, /* TLS 1.3: agreed by extensions */
	SUITE_KX_RSA, /* the secret encrypted to the server's key: no forward secrecy */
	SUITE_KX_DH,  /* static DH in the certificate */
	SUITE_KX_DHE,
	SUITE_KX_ECDH, /* static ECDH in the certificate */
	SUITE_KX_ECDHE,
	SUITE_KX_PSK,
	SUITE_KX_RSA_PSK,
	SUITE_KX_DHE_PSK,
	SUITE_KX_ECDHE_PSK,
	SUITE_KX_SRP,
	SUITE_KX_KRB5,
	SUITE_KX_ECCPWD,
	SUITE_KX_GOST,
	SUITE_KX_NONE, /* no key exchange at all: TLS_NULL_WITH_NULL_NULL */
};

enum suite_auth {
	SUITE_AUTH_ANY, /* TLS 1.3 */
	SUITE_AUTH_RSA,
	SUITE_AUTH_DSS,
	SUITE_AUTH_ECDSA, /* EdDSA certificates too (RFC 8422, 5.2) */
	SUITE_AUTH_PSK,
	SUITE_AUTH_SRP,
	SUITE_AUTH_KRB5,
	SUITE_AUTH_ECCPWD,
	SUITE_AUTH_GOST,
	SUITE_AUTH_NONE, /* anonymous */
};

enum suite_cipher {
	SUITE_CIPHER_NONE, /* the registry's NULL: not encrypted */
	SUITE_CIPHER_RC2_CBC,
	SUITE_CIPHER_RC4,
	SUITE_CIPHER_DES_CBC,
	SUITE_CIPHER_3DES_CBC,
	SUITE_CIPHER_IDEA_CBC,
	SUITE_CIPHER_SEED_CBC,
	SUITE_CIPHER_AES_CBC,
	SUITE_CIPHER_CAMELLIA_CBC,
	SUITE_CIPHER_ARIA_CBC,
	SUITE_CIPHER_GOST_28147,
	SUITE_CIPHER_GOST_CTR_OMAC,
	SUITE_CIPHER_AES_GCM,
	SUITE_CIPHER_AES_CCM,
	SUITE_CIPHER_AES_CCM_8,
	SUITE_CIPHER_CAMELLIA_GCM,
	SUITE_CIPHER_ARIA_GCM,
	SUITE_CIPHER_CHACHA20_POLY1305,
	SUITE_CIPHER_SM4_GCM,
	SUITE_CIPHER_SM4_CCM,
	SUITE_CIPHER_AEGIS,
	SUITE_CIPHER_GOST_MGM,
};

enum suite_hash {
	SUITE_HASH_NONE, /* of `mac`: the cipher is an AEAD or has its own */
	SUITE_HASH_MD5,
	SUITE_HASH_SHA1,
	SUITE_HASH_SHA256,
	SUITE_HASH_SHA384,
	SUITE_HASH_SHA512,
	SUITE_HASH_SM3,
	SUITE_HASH_GOST, /* R 34.11-94 or -2012 */
};

enum suite_strength {
	SUITE_BROKEN, /* no encryption, no authentication, export grade, RC4, RC2, DES, MD5, or blocks of 64 bits */
	SUITE_LEGACY, /* not broken, but CBC, or a tag of 64 bits (CCM_8), or no forward secrecy */
	SUITE_STRONG, /* AEAD and forward secret */
};

struct suite {
	const char *name;    /* IANA's */
	const char *openssl; /* OpenSSL's, for SSL_set_cipher_list and _ciphersuites; NULL when stock builds lack it */
	enum suite_kx kx;
	enum suite_auth auth;
	enum suite_cipher cipher;
	enum suite_hash mac; /* of the record protection; NONE for AEADs */
	enum suite_hash prf; /* of the PRF in TLS 1.2, of HKDF in TLS 1.3; below TLS 1.2 the PRF is MD5 and SHA-1 */
	enum suite_strength strength;
	uint16_t value;
	uint16_t min_version; /* 0x0300..0x0304: the lowest and the highest version it may be used with */
	uint16_t max_version;
	uint16_t key_bits; /* of the cipher; 40 and 56 for export suites */
	bool exported;     /* export grade */
};

/* NULL when the value is not in the table (GREASE, unassigned, private use). */
must_check const struct suite *suite_find(uint16_t value);
/* By IANA's or OpenSSL's name; NULL when there is none. Looks through the table: for configuration, not for traffic. */
must_check const struct suite *suite_by_name(struct bytes name);
/* IANA's name, also of the two signals above; "GREASE"; NULL when unknown. */
must_check const char *suite_name(uint16_t value);
must_check bool suite_is_aead(const struct suite *suite);
/* The session keys survive the theft of every long-lived key. */
must_check bool suite_is_forward_secret(const struct suite *suite);
/* Usable with this version of TLS. */
must_check bool suite_fits_version(const struct suite *suite, uint16_t version);
/* "strong", "legacy", "broken". */
must_check const char *suite_strength_name(enum suite_strength strength);

/* The table itself, in order of value: for listings and tests. NULL at and past its end. */
must_check const struct suite *suite_at(size_t index);

#endif
