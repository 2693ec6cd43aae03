/*
 * keys/share_readers.h — the readers to whom one side of a connection lets keys go if the other side agrees: what
 * `overt exec --share` tells the agent within programs, as a text. Nothing in it is secret. No I/O, no allocation; libc
 * only.
 *
 *     overt-share-readers 1 <16 hex digits: the list's id>
 *     <64 hex digits: key id> TAB live | after-rotation TAB NAME TAB PURPOSE TAB PATTERN [SPACE PATTERN]…
 *     …
 *
 * A line is for one reader in one mode. Patterns are those of grants (keys/name_pattern.h).
 */
#ifndef KEYS_SHARE_READERS_H
#define KEYS_SHARE_READERS_H

#include "base/bytes.h"

#define SHARE_READERS_MAX     ((size_t)64) /* places: a set of them has 64 bits */
#define SHARE_READERS_TEXT    ((size_t)1024 * 1024)
#define SHARE_KEY_ID          32  /* SHA-256 of the reader's SubjectPublicKeyInfo */
#define SHARE_READER_NAME_MAX 63  /* octets, as SHARE_READER_MAX (keys/share_item.h) */
#define SHARE_PURPOSE_MAX     255 /* octets */

/* Values as those of enum release_mode (keys/release.h). */
enum share_mode { SHARE_LIVE = 1, SHARE_AFTER_ROTATION = 2 };

struct share_reader {
	uint8_t key_id[SHARE_KEY_ID];
	uint8_t mode;               /* enum share_mode */
	struct bytes name, purpose; /* views of the text; name has an octet at least */
	struct bytes patterns;      /* with one space between */
};

/* A key id stands in it once for each mode. */
struct share_readers {
	uint64_t id;
	struct share_reader at[SHARE_READERS_MAX];
	size_t count;
};

/* Views of `text`, which must stay. False, and empty, when it is no such text. */
must_check bool share_readers_read(struct bytes text, struct share_readers *out);
/* share_readers_read of it gives the same again. False when a text has a tab or a line's end, or is too long. */
must_check bool share_readers_write(const struct share_readers *readers, struct writer *to);

/* The places of those with a pattern that the server's name fits, as a set. */
must_check uint64_t share_readers_for(const struct share_readers *readers, struct bytes name);

static inline uint64_t share_place(size_t place)
{
	return UINT64_C(1) << place;
}

#endif
