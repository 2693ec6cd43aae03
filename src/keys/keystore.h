/*
 * keys/keystore.h — secrets in memory, in the order in which they came, up to a fixed number of octets; the oldest leave
 * for the newest and are counted. The memory stays out of core dumps, is locked as far as RLIMIT_MEMLOCK allows, is used
 * from the kernel only as it fills, and is wiped. One thread at a time for changes; look-ups may run side by side.
 */
#ifndef KEYS_KEYSTORE_H
#define KEYS_KEYSTORE_H

#include "keys/keyset.h"

#define KEYSTORE_PER_ID 4096 /* secrets of one session */

struct keystore;

struct keystore_counts {
	uint64_t lines;      /* given to keystore_add_line, with blank ones */
	uint64_t bad;        /* of these, neither blank nor read */
	uint64_t stored;     /* secrets, in all */
	uint64_t duplicates; /* not stored again: id, label, epoch and octets were there */
	uint64_t refused;    /* over KEYSTORE_PER_ID */
	uint64_t evicted;    /* secrets that left for newer ones */
	uint64_t held;       /* secrets, now */
	uint64_t octets;     /* in use, of `cap` */
	uint64_t cap;
};

/* NULL without memory. At least 64 KiB are taken as `cap`. */
must_check struct keystore *keystore_new(size_t cap);
/* NULL is allowed. */
void keystore_free(struct keystore *store);

enum keystore_result {
	KEYSTORE_ADDED,
	KEYSTORE_DUPLICATE,
	KEYSTORE_REFUSED,  /* the session has KEYSTORE_PER_ID secrets; counted */
	KEYSTORE_TOO_LONG, /* over KEYLOG_MAX_SECRET; nothing changed */
};

/* `label` and `epoch` mean what the caller wants; `secret` may be of any length up to KEYLOG_MAX_SECRET. */
enum keystore_result keystore_add(struct keystore *store, const struct keylog_id *id, enum keylog_label label,
	uint32_t epoch, struct bytes secret);
/* Parses and adds one line. True when it was new: `*id` says whose it is. */
bool keystore_add_line(struct keystore *store, struct bytes line, struct keylog_id *id);

/* One entry as it is held; the views live until the store changes. */
struct keystore_entry {
	struct keylog_id id;
	enum keylog_label label;
	uint32_t epoch;
	struct bytes secret;
};

/* Those of `id`, oldest first; `visit` must not change the store. */
void keystore_find(const struct keystore *store, const struct keylog_id *id,
	void (*visit)(const struct keystore_entry *entry, void *ctx), void *ctx);
/* Adds those of `id` to `out`; returns how many were added. */
size_t keystore_gather(const struct keystore *store, const struct keylog_id *id, struct keyset *out);
/*
 * The newest entry before `*at`, which moves there; UINT64_MAX: the newest of all. False when no older one is held.
 */
must_check bool keystore_back(const struct keystore *store, uint64_t *at, struct keystore_entry *entry);

must_check struct keystore_counts keystore_count(const struct keystore *store);

#endif
