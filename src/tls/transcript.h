/*
 * tls/transcript.h — the running hash over handshake messages (RFC 8446, 4.4.1; RFC 5246, 7.4.9; RFC 7627, 3). No I/O.
 *
 *	struct transcript t;
 *	transcript_init(&t, TRANSCRIPT_CAP);
 *	transcript_add(&t, client_hello.whole);
 *	on the ServerHello: transcript_choose(&t, suite->prf);
 *	                    if it is a HelloRetryRequest: transcript_retry(&t);
 *	                    transcript_add(&t, server_hello.whole);
 *	transcript_value(&t, &hash);
 *	transcript_free(&t);
 *
 * Until the hash is chosen, messages are kept, up to a cap; then they are hashed and let go.
 */
#ifndef TLS_TRANSCRIPT_H
#define TLS_TRANSCRIPT_H

#include "base/bytes.h"
#include "tls/crypto.h"
#include "tls/suite.h"

/* Enough for every ClientHello that tls/collect.h takes and one more. */
#define TRANSCRIPT_CAP ((size_t)128 * 1024)

enum transcript_result {
	TRANSCRIPT_OK,
	TRANSCRIPT_FULL,     /* more than the cap before a hash was chosen: the transcript is of no use any more */
	TRANSCRIPT_NO_HASH,  /* no hash chosen yet */
	TRANSCRIPT_CHOSEN,   /* a hash was chosen before, another one than this */
	TRANSCRIPT_BAD_HASH, /* not a hash that this libcrypto has */
	TRANSCRIPT_FAILED,   /* out of memory */
};

struct transcript {
	/* Private. */
	EVP_MD_CTX *ctx; /* NULL until a hash is chosen */
	enum suite_hash hash;
	enum transcript_result broken; /* what made it useless: every later call says so again; else OK */
	uint8_t *held;
	size_t held_len, held_room, cap;
};

/* Empty, nothing allocated. At most `cap` octets are kept before the hash is known. */
void transcript_init(struct transcript *t, size_t cap);
/* Frees what it holds; it may be initialised again. */
void transcript_free(struct transcript *t);

/* Adds a whole message, its header of 4 octets included (DTLS: 12), or any part of one. */
must_check enum transcript_result transcript_add(struct transcript *t, struct bytes message);
/* Chooses the hash: SHA-256, SHA-384, or another that libcrypto has. The same one again is no fault. */
must_check enum transcript_result transcript_choose(struct transcript *t, enum suite_hash hash);
/*
 * Puts message_hash in the place of all that was added (RFC 8446, 4.4.1), which must be exactly the first ClientHello.
 * To be called once, after transcript_choose and before the HelloRetryRequest is added.
 */
must_check enum transcript_result transcript_retry(struct transcript *t);

/* The hash of all that was added, without disturbing it. */
must_check enum transcript_result transcript_value(const struct transcript *t, struct tls_secret *out);
/* The same with `more` behind it, which is not added: for binders (RFC 8446, 4.2.11.2; psk_truncated). */
must_check enum transcript_result transcript_value_with(
	const struct transcript *t, struct bytes more, struct tls_secret *out);
/* A second transcript that goes on by itself. `copy` is to be freed, also after a failure. */
must_check enum transcript_result transcript_copy(const struct transcript *t, struct transcript *copy);

/* For people. Never NULL. */
must_check const char *transcript_result_text(enum transcript_result result);

#endif
