/*
 * proxy/upstream.h — leg 2: a TLS connection to the server, offering what the client offered as far as policy and
 * libssl allow, verified strictly, resumed from a cache that never crosses clients or servers.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "base/error.h"

#include <openssl/ssl.h>

struct conn;
struct worker;
struct upstream;

struct upstream_counts {
	uint64_t kept, evicted, offered; /* sessions */
	size_t held, cap;
};

must_check struct upstream *upstream_new(struct worker *worker, struct error *err);
void upstream_free(struct upstream *upstream);
must_check struct upstream_counts upstream_count(const struct upstream *upstream);

enum upstream_offer {
	UPSTREAM_OFFERED,
	UPSTREAM_NOTHING_SHARED, /* versions, suites or groups have nothing in common: step aside or block */
	UPSTREAM_NO_MEMORY,
};

/*
 * Makes conn->leg2 over conn->server for the hello in conn->opening. The verdict of the verification goes into
 * opening->verified when the handshake gets that far; opening->certificate_lacking likewise.
 */
must_check enum upstream_offer upstream_begin(struct conn *conn, struct error *err);

/* After the handshake: is what was negotiated good enough for the rule in force? False with the reason. */
must_check bool upstream_acceptable(const struct conn *conn, struct error *err);

/* After the handshake, when all has been judged: gives back what only the judging needed. */
void upstream_settle(struct conn *conn);

#endif
