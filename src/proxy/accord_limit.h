/*
 * proxy/accord_limit.h — how many Accord handshakes a client may ask for: each costs the proxy a full handshake with the
 * server, and the server a signature. A rate with a burst per client address (IPv6: per /64), kept by each worker for the
 * clients seen last. Time is an argument.
 */
#ifndef PROXY_ACCORD_LIMIT_H
#define PROXY_ACCORD_LIMIT_H

#include "base/hostport.h"
#include "policy/config.h"

#define ACCORD_LIMIT_CLIENTS 65536

struct accord_limit;

/* NULL without memory. */
must_check struct accord_limit *accord_limit_new(const struct config *config);
void accord_limit_free(struct accord_limit *limit); /* NULL is allowed */
/* One handshake more. False when it is one too many; it does not count then. */
must_check bool accord_limit_take(struct accord_limit *limit, const struct hostport *client, uint64_t now_ns);
/* Whether it is to be told that somebody was over the limit: once in a second. */
must_check bool accord_limit_worth_telling(struct accord_limit *limit, uint64_t now_ns);

#endif
