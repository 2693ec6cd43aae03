/*
 * explain/visibility_parts.h — what the files of the story "visibility" share: a TLS 1.3 server built on src/tls, which can
 * do what stock libraries cannot (wrap its secrets for a reader, keep one key share for ever), a stock client, and an
 * observer who has nothing but the wire and one private key.
 */
#ifndef EXPLAIN_VISIBILITY_PARTS_H
#define EXPLAIN_VISIBILITY_PARTS_H

#include "base/buffer.h"
#include "base/error.h"
#include "tls/protect.h"
#include "tls/transcript.h"

#include <openssl/ssl.h>

#define VISIBILITY_EXTENSION   0xffce /* private use: the draft was never given a number */
#define VISIBILITY_KEY         32     /* octets of an X25519 key */
#define VISIBILITY_FINGERPRINT 20     /* octets of SHA-256 over the reader's public key */
#define VISIBILITY_STREAM      ((size_t)256 * 1024)

/* An X25519 pair. */
struct visibility_pair {
	uint8_t own[VISIBILITY_KEY], public[VISIBILITY_KEY];
};

must_check bool visibility_pair_make(struct visibility_pair *pair);
/* X25519(own, peer); *out is wiped by the caller. */
must_check bool visibility_agree(const uint8_t own[VISIBILITY_KEY], struct bytes peer, struct tls_secret *out);

/* --- the server: TLS_AES_128_GCM_SHA256, X25519, one ticket */

struct own_server {
	/* Set before own_server_answer. */
	struct crypto *crypto;
	struct visibility_pair share; /* its key share: fresh, or the same for ever */
	X509 *cert;                   /* NULL: it can only resume */
	EVP_PKEY *key;                /* RSA */
	const uint8_t
		*reader; /* SSWrapDH1's public key: wraps for it, and takes no client that does not offer; NULL: no */
	struct tls_secret psk; /* of a ticket that it takes; empty: none */
	/* What came of it. */
	bool resumed;
	const char *fault; /* NULL as long as there is none; static */
	/* Private. */
	struct transcript transcript;
	struct tls_secret early, handshake, master, client_handshake, server_handshake, client_traffic, server_traffic;
	struct protect *out, *in;
	struct buffer flight;
};

/* Takes the client's first octets, and adds its own flight to `out`. */
must_check bool own_server_answer(struct own_server *server, struct bytes octets, struct buffer *out);
/* Takes the client's Finished, and adds a ticket to `out`. */
must_check bool own_server_finish(struct own_server *server, struct bytes octets, struct buffer *out);
must_check bool own_server_says(struct own_server *server, const char *text, struct buffer *out);
/* Whether these octets are one record of exactly this text. */
must_check bool own_server_reads(struct own_server *server, struct bytes octets, const char *text);
void own_server_clear(struct own_server *server);

/* The wrapped secrets: extension_data of a ServerHello. */
void visibility_wrap(struct writer *w, const uint8_t reader[VISIBILITY_KEY], const struct tls_secret *early,
	const struct tls_secret *handshake);
must_check bool visibility_unwrap(struct bytes data, const struct visibility_pair *reader, struct tls_secret *early,
	struct tls_secret *handshake);

/* --- the client: stock OpenSSL */

struct stock_client {
	SSL_CTX *ctx;
	SSL *ssl;
	SSL_SESSION *session; /* from the last ticket */
	bool was_wrapped;     /* the ServerHello carried wrapped secrets */
};

/* Trusts `anchor` alone. `offers`: sends the empty extension. `session`: resumes it; may be NULL. */
must_check bool stock_client_make(
	struct stock_client *client, X509 *anchor, bool offers, SSL_SESSION *session, struct error *err);
/* Goes on with what it is given (which may be nothing), and adds what it says to `out`. False when it refuses. */
must_check bool stock_client_step(struct stock_client *client, struct bytes octets, struct buffer *out);
must_check bool stock_client_says(struct stock_client *client, const char *text, struct buffer *out);
/* Whether what it can read with these octets is exactly this text. */
must_check bool stock_client_reads(struct stock_client *client, struct bytes octets, const char *text);
void stock_client_clear(struct stock_client *client);

/* A whole conversation: both ways one text. `wire[0]` is what the client sent, `wire[1]` the server. */
must_check bool visibility_converse(struct stock_client *client, struct own_server *server, struct buffer wire[2],
	const char *question, const char *answer, struct error *err);

/* --- the observer */

struct observer {
	struct crypto *crypto;
	struct tls_secret handshake; /* what it begins with */
	struct tls_secret client_traffic, server_traffic, resumption, psk;
	uint64_t next[2];  /* sequence numbers of the next application records of client and server */
	char text[2][128]; /* what they said */
	struct traffic_keys server_keys;
	bool opened;
};

/* Goes through the whole wire with the handshake secret. */
must_check bool observer_read(struct observer *observer, const struct buffer wire[2]);
/* The first handshake message in these octets: ClientHello or ServerHello. */
must_check bool observer_hello(struct bytes octets, struct bytes *body, struct bytes *whole);
/* Makes an application record as the server would, which the client takes for the server's. */
must_check bool observer_forge(struct observer *observer, const char *text, struct buffer *out);
void observer_wipe(struct observer *observer);

/* --- ETS */

#define ETS_OID "0.4.0.3523.3.1" /* VisibilityInformation, as otherName of the subjectAltName */

/* Signed by itself, for LAB_NAME, with a VisibilityInformation about this key share. NULL when it cannot be made. */
must_check X509 *ets_certificate(EVP_PKEY *key, const uint8_t share[VISIBILITY_KEY], const char *description);
/* What a certificate says to somebody who looks: false when it says nothing. */
must_check bool ets_read(X509 *cert, uint8_t fingerprint[10], char *description, size_t cap);
must_check bool ets_fingerprint(const uint8_t share[VISIBILITY_KEY], uint8_t out[10]);

#endif
