/*
 * share/octets.h — how much a TCP connection of this machine has carried, by its addresses, asked of the kernel
 * (sock_diag(7)). In this network namespace only.
 */
#ifndef SHARE_OCTETS_H
#define SHARE_OCTETS_H

#include "base/hostport.h"

struct octets;

/* NULL where the kernel cannot be asked. */
must_check struct octets *octets_new(void);
void octets_free(struct octets *octets); /* NULL is allowed */
/*
 * Octets that were received, and that were sent and acknowledged: what TCP carried, records with their heads and the
 * handshake. Whichever end is here is asked. False when there is no such connection.
 */
must_check bool octets_of(
	struct octets *octets, const struct hostport *client, const struct hostport *server, uint64_t *count);

#endif
