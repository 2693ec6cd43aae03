/*
 * collect/tls.h — mutual TLS 1.3 between collector, senders and readers: contexts, and who is at the other end.
 */
#ifndef COLLECT_TLS_H
#define COLLECT_TLS_H

#include "base/error.h"

#include <openssl/ssl.h>

/* Files in PEM: a certificate with what stands between it and its CA, its key (0600), and the CA that others' lead to. */
struct collect_files {
	const char *certificate, *key, *ca;
};

/* A server: TLS 1.3 and nothing else, a client certificate is demanded, no tickets, ALPN as in keys/courier.h or none. */
must_check SSL_CTX *collect_server_context(const struct collect_files *files, struct error *err);
/* A client, which checks the server's chain; `alpn` is one protocol. */
must_check SSL_CTX *collect_client_context(const struct collect_files *files, const char *alpn, struct error *err);
/* A connection to a host of this name, or of this IP address: its certificate must say so. NULL without memory. */
must_check SSL *collect_client_ssl(SSL_CTX *ctx, const char *host);

#define COLLECT_NAME_MAX 63

/* The peer of a finished handshake. */
struct collect_identity {
	char name[COLLECT_NAME_MAX + 1]; /* common name, cleaned */
	uint8_t key_hash[32];            /* SHA-256 of the SubjectPublicKeyInfo */
	int64_t not_after_s;             /* since 1970 UTC */
};
must_check bool collect_identity_of(const SSL *ssl, struct collect_identity *out);
/* Whose certificate this context shows. */
must_check bool collect_identity_own(const SSL_CTX *ctx, struct collect_identity *out);

enum collect_protocol { COLLECT_KEYS, COLLECT_READ, COLLECT_LINES };
must_check enum collect_protocol collect_protocol_of(const SSL *ssl);

#endif
