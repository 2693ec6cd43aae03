/*
 * agent/share_consent_openssl.h — consent in programs on OpenSSL: the extension is added to every context.
 *
 * When both sides are known to agree: at the client with the server's Finished, which comes before any key of
 * application data; at the server with the client's Finished, which comes after the key of what the server sends: that
 * key waits here. The server may send no data before then but in answer to 0-RTT data.
 */
#ifndef AGENT_SHARE_CONSENT_OPENSSL_H
#define AGENT_SHARE_CONSENT_OPENSSL_H

#include "agent/share_openssl_library.h"
#include "keys/share_item.h"

/* A new library: false where there is no place in its objects. One thread at a time. */
must_check bool share_consent_library(struct openssl_library *library);
/* A new context. */
void share_consent_attach(const struct openssl_library *library, SSL_CTX *ctx);

/*
 * Keys of application data on their way to the shipper, `count` of them, 1 or 2, all of one secret: sets their terms,
 * of which the mode is that of this process. Where it is not sure yet whether both sides agree it keeps the only one
 * in memory of agent/share_pool.h and returns 0; when that is sure, what was kept comes before it, and both are to be
 * waited for: `*wait`. Where there is no room for it, 0 and `*wait` are as with any key that cannot be had. Other keys
 * pass. Returns how many there are now.
 */
must_check size_t share_consent_pass(
	const struct openssl_library *library, const SSL *ssl, struct share_item items[2], size_t count, bool *wait);

/* Before libssl's own: a program that uses this number itself gets it. */
int SSL_CTX_add_custom_ext(SSL_CTX *ctx, unsigned int type, unsigned int context, SSL_custom_ext_add_cb_ex add,
	SSL_custom_ext_free_cb_ex release, void *add_arg, SSL_custom_ext_parse_cb_ex parse, void *parse_arg);

#endif
