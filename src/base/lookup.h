/* base/lookup.h — a name's addresses within a time: getaddrinfo alone waits as long as resolv.conf says. */
#ifndef BASE_LOOKUP_H
#define BASE_LOOKUP_H

#include "base/error.h"

#include <netdb.h>
#include <stdint.h>

/*
 * For stream sockets; `flags` as getaddrinfo's. In *out what freeaddrinfo frees. False at the deadline (monotonic), or where
 * there is no address: err says so, with the host. A look-up that is given up may go on in a thread of libc's, and its few
 * octets are not freed then.
 */
must_check bool lookup(
	const char *host, const char *port, int flags, uint64_t deadline_ns, struct addrinfo **out, struct error *err);

#endif
