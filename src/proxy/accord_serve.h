/*
 * proxy/accord_serve.h — a reverse listener as the aware server in front of one that knows nothing of Accord: it shows the
 * server's own certificate, rules on proxies that introduce themselves, and goes on to the server (docs/accord-server.md).
 */
#ifndef PROXY_ACCORD_SERVE_H
#define PROXY_ACCORD_SERVE_H

#include "pki/trust.h"
#include "policy/config.h"
#include "proxy/bundle.h"
#include "proxy/leg.h"

struct conn;
struct worker;

/* Rules, the anchors and keys that they name, certificate and key. Of one snapshot; connections keep theirs. */
struct accord_serving;

/* Reads and checks what the configuration names, and adds it to a bundle. `web`: trust anchors that no anchor may be among. */
must_check bool accord_serving_bundle(
	struct bundle_writer *w, const struct config *config, const struct trust *web, struct error *err);
/* Reads it back. *out is NULL when nothing is configured. One owner. */
must_check bool accord_serving_open(
	struct accord_serving **out, struct bundle *bundle, const struct config *config, struct error *err);
void accord_serving_drop(struct accord_serving *serving); /* NULL is allowed */
/* Leg 1's context, the caller's; NULL with `err` set. */
must_check SSL_CTX *accord_serving_ctx(struct accord_serving *serving, const struct worker *worker, struct error *err);

/* Is this connection one that we answer as the server? */
must_check bool accord_serves(const struct conn *conn);
/* After each pass of the rules: the sensitive list is about other people's servers. */
void accord_serve_decided(struct conn *conn);
/* The verdict is to inspect, and leg 2 stands: answers the client. */
void accord_serve(struct conn *conn);
/* Leg 1 stands. False: it must not go on, and the connection is settled. */
must_check bool accord_serve_passed(struct conn *conn);
/* Leg 1's handshake failed: ends the connection. */
void accord_serve_failed(struct conn *conn);

#endif
