/*
 * proxy/answer.h — leg 1: the server's side towards the client, with a leaf of the local CA, the protocol and version
 * that leg 2 got, and stateless tickets bound to what they were issued for.
 */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include "base/error.h"
#include "proxy/keeper_client.h"

struct answer;
struct conn;
struct worker;

must_check struct answer *answer_new(struct worker *worker, struct error *err);
void answer_free(struct answer *answer);

/* Makes conn->leg1 over conn->client, fed with what the opening holds. */
must_check bool answer_begin(struct conn *conn, const struct keeper_leaf *leaf, struct error *err);

#endif
