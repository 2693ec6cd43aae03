/*
 * watch/recover.h — what the files of recovery share: one try at a record with keys, or with a secret, of which nobody
 * knows whether they are the ones, nor the record's number. Every try is paid for out of the session's bound.
 */
#ifndef WATCH_RECOVER_H
#define WATCH_RECOVER_H

#include "watch/session_parts.h"

/* One attempt: a secret or keys, and what may be tried with them. */
struct attempt {
	const struct suite *suite;
	uint16_t version;
	uint64_t from, count; /* sequence numbers for a search; an inversion's result is at least `from` */
	bool etm;
};

struct place {
	enum lane_stage stage;
	uint32_t epoch;
};

/* False, and the lane is hopeless: the session's bound does not allow so many octets more of decryption in vain. */
must_check bool recover_pay(struct session *s, struct lane *lane, uint64_t octets);
/* Finds the number of the record under these keys. True: it is open, and `*out` stands behind it. */
must_check bool recover_keys(struct session *s, struct lane *lane, const struct attempt *attempt,
	struct traffic_keys *keys, const struct record *record, struct protect **out, struct opened *opened);
/* The same with a traffic secret of TLS 1.3. True: the lane is at `place`, with its key. */
must_check bool recover_secret(struct session *s, struct lane *lane, const struct attempt *attempt, struct bytes secret,
	struct place place, const struct record *record, struct opened *opened);
/*
 * How many numbers a search has to look at: no more records can have been lost than the octets hold, and where none are
 * lost only a few.
 */
must_check uint64_t recover_reach(const struct session *s, const struct lane *lane);

#endif
