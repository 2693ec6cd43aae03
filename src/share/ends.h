/*
 * share/ends.h — which connections have keys under which grants, and where a grant has ended within one. No I/O, no clock:
 * times are monotonic.
 *
 * A grant that ends within a connection is over there once its time since the first key, or its octets, are used up: where they
 * are before the first key, none is released, and there is nothing to tell. It covers no connection whose octets nobody
 * can count. A later epoch of a connection that is not known here, because it was never seen or had to leave, is not
 * released under such a grant: it could have ended.
 */
#ifndef SHARE_ENDS_H
#define SHARE_ENDS_H

#include "keys/grant.h"

#define ENDS_MAX     65536 /* connections and grants kept in mind; the oldest leave, counted */
#define ENDS_COUNTED 1024  /* connections whose octets are counted at each call */
#define ENDS_TAG     16    /* octets of the caller's that name where the connection is */

struct ends;

struct ends_counts {
	uint64_t over; /* grants that ended within a connection */
	uint64_t
		evicted; /* that had not ended: what comes later of them is not released, where the grant ends within */
	size_t held;
};

enum ends_verdict {
	ENDS_OPEN,    /* it goes on */
	ENDS_OVER,    /* the grant has ended in this connection */
	ENDS_UNKNOWN, /* a later epoch of a connection whose beginning is not known */
	ENDS_FIXED,   /* it could not end: keys of this version of TLS cannot be changed, or nobody can count */
};

/* How many octets a connection has carried; false when that is not known. */
typedef bool ends_count_fn(void *arg, const struct hostport *client, const struct hostport *server, uint64_t *octets);

/* NULL without memory. */
must_check struct ends *ends_new(ends_count_fn *count, void *arg);
void ends_free(struct ends *ends); /* NULL is allowed */

/*
 * Whether this release may still leave under this grant, and remembers that it does. `tag` of ENDS_TAG octets is kept from
 * the first time; NULL: none.
 */
must_check enum ends_verdict ends_ask(struct ends *ends, const struct grant *grant, const struct release *release,
	uint64_t now_ns, const uint8_t *tag);

/* One connection in which a grant is over. `tag` is NULL when there was none. */
typedef void ends_tell_fn(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag);
/* The grant is over in all its connections: tells of those in which it was not yet. */
void ends_all(struct ends *ends, const uint8_t grant[static RELEASE_GRANT], ends_tell_fn *tell, void *arg);
/* Tells of those whose time is over by now, or whose octets are used up: of these it counts some at each call. */
void ends_due(struct ends *ends, uint64_t now_ns, ends_tell_fn *tell, void *arg);
/* When time is over next; octets want to be counted as often as it may be; UINT64_MAX: never. */
must_check uint64_t ends_next(const struct ends *ends);

must_check struct ends_counts ends_count(const struct ends *ends);

#endif
