/*
 * proxy/local_peer.h — whose is the other end of a TCP connection from this machine: the kernel is asked (sock_diag(7)),
 * which anybody may.
 */
#ifndef PROXY_LOCAL_PEER_H
#define PROXY_LOCAL_PEER_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

struct local_peer_asker {
	int fd; /* of netlink; -1: closed */
	uint32_t sequence;
};

must_check bool local_peer_open(struct local_peer_asker *asker, struct error *err);
void local_peer_close(struct local_peer_asker *asker);

enum local_peer {
	LOCAL_PEER_OWNER, /* *uid is whose it is */
	LOCAL_PEER_GONE, /* its process has closed it: the kernel keeps no owner of such a socket, and would say root */
	LOCAL_PEER_UNKNOWN, /* it is not on this machine, or the kernel does not answer */
};

/* `fd` is our end of the connection, over loopback. The kernel answers at once; after a second it is not waited for. */
must_check enum local_peer local_peer_ask(struct local_peer_asker *asker, int fd, uid_t *uid);

#endif
