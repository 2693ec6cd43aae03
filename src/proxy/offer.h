/*
 * proxy/offer.h — what leg 2 offers: the client's own offer, in its order, as far as policy and this libssl allow
 * (RFC 8446, 4.1.2 and 9.3: what is unknown is left out, never fatal). No I/O.
 */
#ifndef PROXY_OFFER_H
#define PROXY_OFFER_H

#include "tls/hello.h"

#include <openssl/ssl.h>

#define OFFER_TEXT 2048

/* Which groups and signature schemes this libssl knows: one unknown name would make a whole list fail. Asked once. */
struct offer_known {
	uint16_t groups[64], sigalgs[64];
	size_t group_count, sigalg_count;
};

void offer_ask(struct offer_known *known, SSL_CTX *ctx);

struct offer {
	int min_version, max_version; /* TLS1_2_VERSION, TLS1_3_VERSION */
	char suites13[OFFER_TEXT];    /* for SSL_set_ciphersuites; "" : none */
	char suites12[OFFER_TEXT];    /* for SSL_set_cipher_list; "": none */
	char groups[OFFER_TEXT];      /* "": libssl's own */
	char sigalgs[OFFER_TEXT];     /* "": libssl's own */
};

/* `rsa`: RSA key exchange may be offered for TLS 1.2. False when no version or no suite is left. */
must_check bool offer_make(
	struct offer *offer, const struct offer_known *known, const struct client_hello *hello, bool rsa);
/* Nothing of TLS 1.2, and nothing that the client did not say. False when that leaves too little. */
must_check bool offer_tls13_only(struct offer *offer);
must_check bool offer_apply(const struct offer *offer, SSL *ssl);

#endif
