/*
 * keys/keylog_index.h — where in a key log the lines of each session stand. Secrets stay in the file: the index knows a
 * short hash and up to five blocks of KEYLOG_BLOCK octets for each session, 24 octets and its slot of less than 8, and
 * whatever a look-up finds there is compared with what was asked for. Sessions scattered over more blocks take another
 * 24. Lines may stand in any order. Of the file itself the pieces last looked into are kept, four of 16 KiB, until the
 * next update that finds something new.
 */
#ifndef KEYS_KEYLOG_INDEX_H
#define KEYS_KEYLOG_INDEX_H

#include "keys/keylog.h"
#include "keys/keyset.h"

#define KEYLOG_BLOCK 1024 /* octets; a file may have 2^32 - 1 of these: 4 TiB */

struct keylog_index;

struct keylog_index_counts {
	uint64_t octets;   /* read */
	uint64_t lines;    /* with blank ones and comments */
	uint64_t secrets;  /* lines that parse */
	uint64_t unknown;  /* lines whose label is unknown */
	uint64_t bad;      /* other lines that do not parse */
	uint64_t too_long; /* lines over KEYLOG_MAX_LINE */
	uint64_t records;  /* of the index: sessions, and one more for each five blocks */
	uint64_t refused;  /* lines not indexed, for the cap on sessions or for the file's size */
	uint64_t memory;   /* octets that the index holds */
};

/* An index over `fd`, which can be sought in and stays the caller's. At most `sessions` records. NULL without memory. */
must_check struct keylog_index *keylog_index_new(int fd, size_t sessions);
/* NULL is allowed. */
void keylog_index_free(struct keylog_index *index);

/* Told of the session of each line that is new. Must not call the index. */
typedef void keylog_told_fn(const struct keylog_id *id, void *ctx);

enum keylog_index_result {
	KEYLOG_INDEX_QUIET,     /* the file has not grown */
	KEYLOG_INDEX_NEW,       /* read to its end */
	KEYLOG_INDEX_MORE,      /* stopped at `budget` */
	KEYLOG_INDEX_TRUNCATED, /* shorter than before, or other text where the last line stood: the index is empty now */
	KEYLOG_INDEX_UNREADABLE, /* errno says why */
	KEYLOG_INDEX_NO_MEMORY,
};

/* Reads what was appended since, at most about `budget` octets (0: all). `told` may be NULL. */
must_check enum keylog_index_result keylog_index_update(
	struct keylog_index *index, size_t budget, keylog_told_fn *told, void *ctx);

/*
 * Adds to `out` every secret of this id, in the order of the file. A last line without LF counts and is marked `cut`.
 * Returns how many were added. What can no longer be read from the file is not found. Look-ups may run side by side.
 */
size_t keylog_index_find(const struct keylog_index *index, const struct keylog_id *id, struct keyset *out);

/* Shown a line; says whether to go on. */
typedef bool keylog_visit_fn(const struct keylog_line *line, void *ctx);

/*
 * Reads the file from offset `*at` (0, or where it stopped before) to where the index ends, and shows each secret. False
 * at the end; true when `visit` said stop: `*at` is after that line then.
 */
must_check bool keylog_index_each(const struct keylog_index *index, uint64_t *at, keylog_visit_fn *visit, void *ctx);

must_check struct keylog_index_counts keylog_index_count(const struct keylog_index *index);

#endif
