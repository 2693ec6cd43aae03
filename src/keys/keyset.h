/* keys/keyset.h — the secrets of one session, gathered from wherever they stood. Wiped when freed. No I/O. */
#ifndef KEYS_KEYSET_H
#define KEYS_KEYSET_H

#include "keys/keylog.h"

#define KEYSET_MAX 1024 /* secrets in a set */

struct keyset_key {
	enum keylog_label label;
	/*
	 * As in keylog_line, but resolved: secrets of no named epoch count 1, 2, 3 ... for each label in the order in which
	 * they were written (which is what OpenSSL means by them), and `counted` says so.
	 */
	uint32_t epoch;
	bool counted;
	bool cut;            /* the last line of a file, without its LF: perhaps not all of the secret yet */
	struct bytes secret; /* in the set, until something is added or the set is freed */
};

struct keyset_entry; /* keyset.c */

/* Zeroed when new. keyset_free before it goes away. */
struct keyset {
	struct keyset_entry *entries;
	size_t count, room;
	uint64_t duplicates;    /* the same secret again under the same label and epoch: held once */
	uint64_t contradictory; /* another secret under the same label and epoch: held as well */
	uint64_t refused;       /* over KEYSET_MAX, or without memory */
};

enum keyset_result {
	KEYSET_ADDED,
	KEYSET_DUPLICATE,
	KEYSET_CONTRADICTS, /* added, beside another */
	KEYSET_REFUSED,     /* full, or no memory; counted */
};

enum keyset_result keyset_add(
	struct keyset *set, enum keylog_label label, uint32_t epoch, bool cut, struct bytes secret);
/* From a line of a log. */
enum keyset_result keyset_add_line(struct keyset *set, const struct keylog_line *line, bool cut);

/* The secret number `at` of the set, in the order in which they were found. False at and past its end. */
must_check bool keyset_at(const struct keyset *set, size_t at, struct keyset_key *out);
/*
 * The secret of this label and epoch (0 where the label has none); `nth` is 0 for the first, 1 for the next that says
 * otherwise, and so on: whoever decrypts tries them in turn. False when there is no such secret.
 */
must_check bool keyset_get(
	const struct keyset *set, enum keylog_label label, uint32_t epoch, size_t nth, struct bytes *secret);
/* Wipes, frees and leaves an empty set. */
void keyset_free(struct keyset *set);

#endif
