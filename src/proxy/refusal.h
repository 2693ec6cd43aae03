/*
 * proxy/refusal.h — who refused whom: a client that would not take our leaf for a name. Kept in SQLite by the keeper, for
 * a lifetime, up to a cap; read by `overt refusals` and by the rules. One thread.
 */
#ifndef PROXY_REFUSAL_H
#define PROXY_REFUSAL_H

#include "base/bytes.h"
#include "base/error.h"

#define REFUSAL_CLIENT_MAX 64  /* octets: the client's address as text */
#define REFUSAL_NAME_MAX   255 /* octets: the name it asked for, lower case */

#define REFUSAL_CLOSED     (-1) /* no alert: it closed the connection where an alert could have stood */
#define REFUSAL_LIFETIME_S (7 * 86400ULL)
#define REFUSAL_CAP        10000

struct refusal {
	char client[REFUSAL_CLIENT_MAX + 1];
	char name[REFUSAL_NAME_MAX + 1];
	int32_t alert; /* description (RFC 8446, 6) of the newest, 0..255 or REFUSAL_CLOSED */
	uint64_t count;
	uint64_t first_s, last_s; /* unix seconds */
};

struct refusal_store;

struct refusal_limits {
	uint64_t lifetime_s; /* since the newest; 0 means REFUSAL_LIFETIME_S */
	size_t cap;          /* pairs; those longest without a refusal leave; 0 means REFUSAL_CAP */
};

struct refusal_counts {
	uint64_t added;   /* refusals noted */
	uint64_t expired; /* pairs whose lifetime was over */
	uint64_t evicted; /* pairs that left because of the cap */
	uint64_t lost;    /* refusals that could not be noted, or not be written: a full disk, a file locked for long */
	size_t held, cap;
};

/* `path` NULL: in memory. Made with mode 0600. What is no such database is an error. `limits` may be NULL. */
must_check struct refusal_store *refusal_store_open(
	const char *path, const struct refusal_limits *limits, struct error *err);
/* Commits. NULL is allowed. */
void refusal_store_close(struct refusal_store *store);

/*
 * Adds one to (client, name) at `now_s`; *refusal gets the pair's count and times. It is on the disk, and seen by other
 * processes, after refusal_flush. False with `err` set: not noted.
 */
must_check bool refusal_add(struct refusal_store *store, struct refusal *refusal, uint64_t now_s, struct error *err);
/* Whether refusal_flush has anything to do. */
must_check bool refusal_due(const struct refusal_store *store, uint64_t now_s);
/* Removes those whose lifetime is over and commits. What is removed is overwritten with zeros (secure_delete). */
must_check bool refusal_flush(struct refusal_store *store, uint64_t now_s, struct error *err);
/* Newest first, those whose lifetime is over left out. `visit` must not change the store. */
must_check bool refusal_each(struct refusal_store *store, uint64_t now_s,
	void (*visit)(const struct refusal *refusal, void *ctx), void *ctx, struct error *err);
/* Forgets all of a client's, or with `client` NULL all. For `overt refusals --forget`. Needs refusal_flush. */
must_check bool refusal_forget(struct refusal_store *store, const char *client, struct error *err);
must_check uint64_t refusal_lifetime_s(const struct refusal_store *store);
must_check struct refusal_counts refusal_count(const struct refusal_store *store);

#endif
