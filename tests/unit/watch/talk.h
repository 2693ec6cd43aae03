/*
 * A TLS connection of OpenSSL with itself over memory, as a capture would have it: all octets of both directions in the
 * order in which they were sent, all plaintext, and the key log. Nothing waits, nothing is random but the keys.
 */
#ifndef TESTS_WATCH_TALK_H
#define TESTS_WATCH_TALK_H

#include "flow/event.h"

#include <openssl/ssl.h>

/* Keys and certificates, made once for a test program. */
struct talk_keys {
	EVP_PKEY *rsa, *ec;
	X509 *rsa_cert, *ec_cert;
};

void talk_keys_make(struct talk_keys *keys);
void talk_keys_free(struct talk_keys *keys);
/* Writes the RSA key as PEM. */
void talk_keys_write_rsa(const struct talk_keys *keys, const char *path);

struct talk_setup {
	const struct talk_keys *keys;
	int version;                               /* TLS1_2_VERSION, TLS1_3_VERSION, or below */
	const char *suite;                         /* OpenSSL's name */
	const char *client_groups, *server_groups; /* NULL: the default */
	const char *alpn;                          /* one protocol; NULL: none */
	uint64_t options;                          /* SSL_OP_ of both sides */
	size_t padding;                            /* SSL_set_block_padding of both */
	size_t fragment;                           /* SSL_set_max_send_fragment; 0: 16384 */
	size_t early;                              /* octets of 0-RTT data, when `session` allows it */
	bool refuse_early;                         /* the server does not take them */
	bool psk13;                                /* TLS 1.3: talk_psk is offered, as "user", and taken */
	bool small_hello;                          /* the client's hello is spread over records of 64 octets */
	SSL_SESSION *session;                      /* to be resumed */
	SSL_CTX *server;                           /* of an earlier talk, whose tickets it knows; NULL: a new one */
};

struct talk_piece {
	enum flow_direction direction;
	size_t at, len; /* in `wire` */
};

#define TALK_PIECES 4096

struct talk {
	const struct talk_setup *setup;
	SSL_CTX *client_ctx, *server_ctx;
	SSL *side[2]; /* client, server */
	BIO *out[2], *in[2];
	uint8_t *wire;
	size_t wire_len, wire_room;
	struct talk_piece pieces[TALK_PIECES];
	size_t count;
	uint8_t *plain[2]; /* application data, by direction */
	size_t plain_len[2];
	char *log; /* key log text */
	size_t log_len;
	uint8_t client_random[32];
};

extern const uint8_t talk_psk[16]; /* of every PSK suite in TLS 1.2, and of `psk13`; the identity is "user" */

/* NULL: OpenSSL does not agree on this. */
struct talk *talk_new(const struct talk_setup *setup);
void talk_free(struct talk *talk);

/* Sends `len` octets that have not been sent before, and has them read. */
void talk_send(struct talk *talk, enum flow_direction direction, size_t len);
/* TLS 1.3: that side changes its key; with `both` it asks the other for the same. */
void talk_update(struct talk *talk, enum flow_direction direction, bool both);
/* TLS 1.2: another handshake inside. */
void talk_renegotiate(struct talk *talk);
/* close_notify. */
void talk_shut(struct talk *talk, enum flow_direction direction);
/* For another one to resume. The caller's. */
SSL_SESSION *talk_session(struct talk *talk);

#endif
