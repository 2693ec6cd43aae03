/*
 * keys/keylog_split.h — text that comes in pieces, cut into lines: a file being appended to, a FIFO, the text of a
 * Decryption Secrets Block. No I/O, no allocation; a line is copied only where two pieces meet.
 */
#ifndef KEYS_KEYLOG_SPLIT_H
#define KEYS_KEYLOG_SPLIT_H

#include "keys/keylog.h"

/* Zeroed when new. Holds secrets: keylog_split_wipe before it goes away. */
struct keylog_split {
	uint64_t line_at;  /* offset in the text of the line given last */
	uint64_t next_at;  /* offset of the first octet after what was taken */
	uint64_t too_long; /* lines over KEYLOG_MAX_LINE: passed over */
	bool skipping;     /* in such a line */
	bool borrowed;     /* `held` was given out as a line and is free again */
	size_t len;        /* of `held` */
	uint8_t held[KEYLOG_MAX_LINE];
};

/*
 * Takes the next whole line from the front of `*more`, which moves past it; `*line` is without its LF, and a view of
 * `*more` or of `split` until the next call. False when there is none: all of `*more` was taken and is held.
 */
must_check bool keylog_split_next(struct keylog_split *split, struct bytes *more, struct bytes *line);
/*
 * What stands after the last LF; false when that is nothing or too long. The text may still go on: nothing is taken, and
 * keylog_split_next goes on where it was.
 */
must_check bool keylog_split_rest(const struct keylog_split *split, struct bytes *line);
/* Forgets what is held and begins at `offset`, which is the beginning of a line; `too_long` stays. */
void keylog_split_restart(struct keylog_split *split, uint64_t offset);
void keylog_split_wipe(struct keylog_split *split);

#endif
