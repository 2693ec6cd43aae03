/*
 * proxy/answer.h — leg 1: the server's side towards the client, with a leaf of the local CA, the protocol and version
 * that leg 2 got, and stateless tickets bound to what they were issued for.
 */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include "base/bytes.h"
#include "base/error.h"
#include "proxy/keeper_client.h"

struct answer;
struct conn;
struct worker;

must_check struct answer *answer_new(struct worker *worker, struct error *err);
void answer_free(struct answer *answer);

/* Makes conn->leg1 over conn->client, fed with what the opening holds. */
must_check bool answer_begin(struct conn *conn, const struct keeper_leaf *leaf, struct error *err);

/* A context that shows a server's own certificate, as that server would. The caller's. */
must_check SSL_CTX *answer_server_ctx(
	const struct worker *worker, X509 *cert, EVP_PKEY *key, STACK_OF(X509) * chain, struct error *err);
/* Begins leg 1 of such a context. */
must_check bool answer_begin_server(struct conn *conn, SSL_CTX *ctx, struct error *err);
/* A context that shows this certificate to clients of Accord: TLS 1.3 only, nothing resumed. The caller's. */
must_check SSL_CTX *answer_accord_ctx(const struct worker *worker, X509 *cert, EVP_PKEY *key, struct error *err);
/* As answer_begin, with the proof; `demand`: the client's approval is asked for. */
must_check bool answer_begin_accord(
	struct conn *conn, SSL_CTX *ctx, struct bytes proof, bool demand, struct error *err);

#endif
