/*
 * agent/shown.h — programs look at their peer's certificate themselves: for its name, for a pin, to show it. Where a
 * proof passed they are shown the server's, which is the one that they mean. The proxy's is in the report. A channel
 * binding of type tls-server-end-point (RFC 5929) that a program makes of it agrees with the server's, though there are
 * two connections; whoever relies on it for more than the server's identity has to know.
 */
#ifndef AGENT_SHOWN_H
#define AGENT_SHOWN_H

#include "accord/chain.h"

#include <openssl/ssl.h>

/* Forgets what an earlier connection of the same SSL left. */
void shown_clear(SSL *ssl);
/* From now on; libssl takes the chain in `store` for the verified one. False without memory. */
must_check bool shown_set(SSL *ssl, X509_STORE_CTX *store, const struct accord_chain *server);

/* As SSL_get0_peer_certificate, SSL_get1_peer_certificate and SSL_get_peer_cert_chain. */
X509 *shown_get0(const SSL *ssl);
X509 *shown_get1(const SSL *ssl);
STACK_OF(X509) * shown_chain(const SSL *ssl);

#endif
