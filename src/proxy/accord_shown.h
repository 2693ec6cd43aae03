/*
 * proxy/accord_shown.h — what clients of Accord see of this proxy: one certificate and its key, with the context that shows
 * it. The keeper sends another every day; a connection keeps the one whose hash it told the server.
 */
#ifndef PROXY_ACCORD_SHOWN_H
#define PROXY_ACCORD_SHOWN_H

#include "accord/body.h"
#include "base/error.h"

#include <openssl/ssl.h>

struct worker;

struct accord_shown {
	unsigned owners;
	SSL_CTX *ctx; /* of leg 1 */
	X509 *cert;
	EVP_PKEY *key;
	uint8_t hash[ACCORD_HASH]; /* SHA-256 of the certificate, DER */
};

/* Of what the keeper has sent. One owner. NULL with `err` set. */
must_check struct accord_shown *accord_shown_new(const struct worker *worker, struct error *err);
/* One owner more. NULL is allowed, and given back. */
struct accord_shown *accord_shown_keep(struct accord_shown *shown);
/* One owner less. NULL is allowed. */
void accord_shown_drop(struct accord_shown *shown);

#endif
