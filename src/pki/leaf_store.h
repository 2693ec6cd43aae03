/*
 * pki/leaf_store.h — minted leaves across restarts, in SQLite. It is a cache: whatever goes wrong with the file costs
 * minting again and is counted, never more. One thread.
 */
#ifndef PKI_LEAF_STORE_H
#define PKI_LEAF_STORE_H

#include "base/bytes.h"
#include "base/error.h"

#define LEAF_STORE_KEY  32
#define LEAF_STORE_ROWS 100000 /* a sensible cap: about 100 MB */

struct leaf_store;

struct leaf_store_counts {
	uint64_t hits, misses;
	uint64_t stored;
	uint64_t pruned;      /* rows dropped for the cap, oldest first */
	uint64_t expired;     /* rows dropped for their date */
	uint64_t lost;        /* leaves that could not be written: disk full, file locked or damaged */
	uint64_t moved_aside; /* damaged files put aside as PATH.damaged */
	size_t rows;          /* at most; counted anew when it reaches the cap */
	size_t cap;
};

/*
 * Opens or makes the file (0600). A damaged one is renamed to PATH.damaged and a new one begun; where none can be had the
 * store works without and counts `lost`. NULL only without memory.
 */
must_check struct leaf_store *leaf_store_open(const char *path, size_t cap, int64_t now_s);
/* Flushes. NULL is allowed. */
void leaf_store_close(struct leaf_store *store);

/* SHA-256 over all that a leaf depends on. `variant`: policy URL, faults, whatever else tells leaves apart. */
void leaf_store_key(uint8_t out[LEAF_STORE_KEY], struct bytes upstream_der, struct bytes host,
	const uint8_t ca_sha256[32], const uint8_t leaf_key_id[32], struct bytes variant);

/* The leaf, copied into `buffer`; false when there is none, it has expired at now_s, or cap is too small. */
must_check bool leaf_store_get(struct leaf_store *store, const uint8_t key[LEAF_STORE_KEY], int64_t now_s,
	uint8_t *buffer, size_t cap, size_t *len);
/* Keeps the leaf until expires_s. Written with others at the next flush; every 256 leaves flush by themselves. */
void leaf_store_put(struct leaf_store *store, const uint8_t key[LEAF_STORE_KEY], struct bytes der, int64_t now_s,
	int64_t expires_s);
/* Commits what was put, and prunes. Call on a timer and before exit. False when it was lost. */
bool leaf_store_flush(struct leaf_store *store, int64_t now_s);

must_check struct leaf_store_counts leaf_store_count(const struct leaf_store *store);

#endif
