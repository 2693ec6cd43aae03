/* Whole sessions of OpenSSL with itself over memory, with all octets sent, all data and the key log. */
#ifndef TESTS_TLS_WIRE_H
#define TESTS_TLS_WIRE_H

#include "tls/crypto.h"

#include <openssl/ssl.h>

/* What to agree on. */
struct wire_case {
	uint16_t version;  /* 0x0303 or 0x0304 */
	const char *suite; /* OpenSSL's name */
	bool no_extended_master_secret, no_encrypt_then_mac;
	bool key_update; /* TLS 1.3: each side updates its keys twice, once of its own will */
	bool retry;      /* TLS 1.3: the server wants a group that the client has no share for */
	size_t padding;  /* TLS 1.3: records are padded to multiples of it; 0: not at all */
};

struct wire_flow {
	uint8_t sent[400000]; /* as on the wire */
	size_t sent_len;
	uint8_t data[200000]; /* application data */
	size_t data_len;
};

struct wire_secrets {
	struct tls_secret master;                                 /* TLS 1.2 */
	struct tls_secret handshake[2], application[2], exporter; /* TLS 1.3; client, server */
};

struct wire {
	struct wire_flow flows[2]; /* client, server */
	struct wire_secrets secrets;
	uint8_t exported[32]; /* SSL_export_keying_material, label "EXPORTER-test", context "abc" */
	bool extended_master_secret;
};

/* Keys and certificates of every kind, made once. */
struct wire_keys {
	EVP_PKEY *rsa, *ecdsa, *dsa;
	X509 *rsa_cert, *ecdsa_cert, *dsa_cert;
};

/* What both sides take as the PSK in TLS 1.2; the client's identity is "user", the server's hint "hint". */
extern const uint8_t wire_psk[16];

void wire_keys_make(struct wire_keys *keys);
void wire_keys_free(struct wire_keys *keys);

/* Runs a session with data in both directions. False when OpenSSL does not agree on it. */
bool wire_run(const struct wire_keys *keys, const struct wire_case *of, struct wire *out);

#endif
