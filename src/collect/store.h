/*
 * collect/store.h — the keys a collector holds, sealed: in memory, in the order in which they came, for a lifetime and up
 * to a number of octets. No I/O, no clock.
 *
 * The memory stays out of core dumps, is locked as far as RLIMIT_MEMLOCK allows, is used from the kernel only as it fills,
 * and is wiped as keys leave. Keys leave in the order in which they came: when their lifetime is over, or for newer ones.
 * A key is the same as another when reader, grant, connection, direction, epoch, grade and check are; where only the check
 * differs they contradict each other, and both are held.
 */
#ifndef COLLECT_STORE_H
#define COLLECT_STORE_H

#include "keys/seal.h"

#define STORE_CONTRADICTIONS 4 /* keys held of one place; more are refused */

struct store;

struct store_limits {
	size_t octets;        /* of sealed keys; rounded up to a power of two */
	size_t owner_octets;  /* of one owner's */
	uint64_t lifetime_ns; /* monotonic, from when a key came */
};

struct store_counts {
	uint64_t fresh, known, contradictory, refused; /* in all */
	uint64_t expired, evicted;                     /* keys that left at the end of their lifetime; for newer ones */
	uint64_t held, octets;                         /* now */
};

/* An owner's account, kept by whoever owns it; must outlive its keys: store_disown before it goes. */
struct store_owner {
	size_t octets, keys;
};

/* NULL without memory. */
must_check struct store *store_new(const struct store_limits *limits);
/* Wipes. NULL is allowed. */
void store_free(struct store *store);

enum store_result {
	STORE_FRESH,
	STORE_CONTRADICTS, /* stored, beside another */
	STORE_KNOWN,
	STORE_FULL, /* the owner has owner_octets, the place has STORE_CONTRADICTIONS, or the key is longer than all there is */
};

/* `head` is that of `sealed`. `tag` is the caller's, given back by store_at. Times are monotonic and wall clock. */
enum store_result store_put(struct store *store, struct store_owner *owner, const struct seal_head *head,
	struct bytes sealed, uint32_t tag, uint64_t now_ns, uint64_t wall_ns);

/* Keys are numbered from 0 in the order in which they came. Numbers below `first` have left; `end` comes next. */
must_check uint64_t store_first(const struct store *store);
must_check uint64_t store_end(const struct store *store);

struct store_item {
	struct bytes sealed; /* valid until the store changes */
	uint64_t wall_ns;
	uint32_t tag;
};
/* False when it has left, was dropped or is not there yet. */
must_check bool store_at(const struct store *store, uint64_t number, struct store_item *item);
/* The number of the key that store_put would call known. False: none. */
must_check bool store_find(const struct store *store, const struct seal_head *head, uint64_t *number);
/* Drops one key, wherever it stands; its number stays empty. */
void store_drop(struct store *store, uint64_t number);
/* Lets go of what is older than the lifetime. */
void store_expire(struct store *store, uint64_t now_ns);
/* The owner goes; its keys stay. */
void store_disown(struct store *store, struct store_owner *owner);

must_check struct store_counts store_count(const struct store *store);

#endif
