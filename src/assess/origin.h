/*
 * assess/origin.h — a TLS server of our own that behaves as a case says, and remembers what came: the ClientHello, how far
 * the handshake went, how many octets of a request arrived. A thread of its own serves one connection after the other.
 */
#ifndef ASSESS_ORIGIN_H
#define ASSESS_ORIGIN_H

#include "assess/visit.h"
#include "base/error.h"

struct origin;

/* Listens on `ip` (an address) and port, 0: of the kernel's choice. NULL with err set. */
must_check struct origin *origin_new(const char *ip, uint16_t port, struct error *err);
void origin_free(struct origin *origin);
must_check uint16_t origin_port(const struct origin *origin);
/* From now on this case, and nothing seen. Ends the connection that is being served. False when it cannot be played. */
must_check bool origin_play(struct origin *origin, const struct play *play, struct error *err);
/* What was seen since, once no connection is open any more or `patience_ns` is over. */
void origin_look(struct origin *origin, uint64_t patience_ns, struct visit_seen *out);

#endif
