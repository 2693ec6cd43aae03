/*
 * proxy/resolver.h — names to addresses for processes whose sandbox has no files: a few threads in getaddrinfo, so that
 * nsswitch.conf, hosts and resolv.conf mean what they mean everywhere else on the machine.
 *
 * Messages (ipc.h): RESOLVE, body = the name; answered by RESOLVED with the same id, body = vec8 error text (empty: none),
 * then every address as vec8 of 4 or 16 octets. Link-local IPv6 addresses are left out: a name cannot say on which link.
 */
#ifndef PROXY_RESOLVER_H
#define PROXY_RESOLVER_H

#include "base/error.h"
#include "proxy/ipc.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define RESOLVER_NAME_MAX      253 /* octets (RFC 1035, 2.3.4, as text) */
#define RESOLVER_ADDRESSES_MAX 32  /* of one name; more are cut */

enum { RESOLVER_RESOLVE = 1, RESOLVER_RESOLVED = 2 };

/* Port 0. `any.sa_family` tells which. */
union resolver_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct resolver_answer {
	union resolver_address addresses[RESOLVER_ADDRESSES_MAX]; /* in the order to try (RFC 6724) */
	size_t count;
	char text[128]; /* with count 0: why, for people */
};

/* The body of RESOLVED, both ways; sans I/O. */
void resolver_answer_write(struct writer *w, const struct resolver_answer *answer);
must_check bool resolver_answer_read(struct bytes in, struct resolver_answer *answer);

struct resolver;

/* Starts `threads` (1..64) threads that answer on `fd`, which it takes. NULL with `err` set. */
must_check struct resolver *resolver_serve(int fd, unsigned threads, struct error *err);
/* Until the other end has closed and every thread is done. */
void resolver_wait(struct resolver *resolver);
/* Ends the threads (this may wait for a getaddrinfo in progress) and frees. NULL is allowed. */
void resolver_free(struct resolver *resolver);

/* True when the other end has closed and every thread is done: resolver_free will not wait. */
must_check bool resolver_done(const struct resolver *resolver);

/*
 * A resolver process: serves `fds` (one per worker) and every descriptor that comes with a message on the channel
 * `control` (for workers started later), until that has closed, and all the others have. Takes them all. `control` -1:
 * none. Returns the exit code.
 */
must_check int resolver_main(int control, const int *fds, size_t count, unsigned threads);

#endif
