/*
 * agent/server_attach.h — the agent inside a server: contexts that the program makes become those of an aware server, whose
 * rules are a file (pact/rulebook.h). The file is read at the program's first context and again when a context is made
 * after it has changed: servers make new ones when they reload. One that cannot be read leaves the rules that stand.
 */
#ifndef AGENT_SERVER_ATTACH_H
#define AGENT_SERVER_ATTACH_H

#include "base/error.h"

#include <openssl/ssl.h>

/* Which file. The text must stay. */
void server_start(const char *rules);
/* False when there are no rules yet and none can be read. */
must_check bool server_attach(SSL_CTX *ctx, struct error *err);

/*
 * As SSL_get0_peer_certificate and its kin, but that programs see no proxy's certificate: they would take it for that of a
 * client whom the server knows.
 */
X509 *server_peer_get0(const SSL *ssl);
X509 *server_peer_get1(const SSL *ssl);
STACK_OF(X509) * server_peer_chain(const SSL *ssl);

#endif
