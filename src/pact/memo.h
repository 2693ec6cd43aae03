/*
 * pact/memo.h — chains that were found good, and their leaves decoded, for a host that is asked for again soon. An answer
 * from here is the one that the full check would give now: it holds for the same octets only, ends before the first
 * certificate of the path does, and nothing refused is ever kept. Threads may share it: one that finds it in use does
 * without, so that nobody waits, and a process forked meanwhile is not stuck.
 */
#ifndef PACT_MEMO_H
#define PACT_MEMO_H

#include "accord/anchor.h"

#define MEMO_CAP      256  /* chains, and as many leaves; the one longest unused leaves */
#define MEMO_MAX_S    300  /* life of an answer, at most */
#define MEMO_MAX_LEAF 8192 /* octets of DER: larger leaves are not kept */
#define MEMO_KEY      32

struct memo;

struct memo_counts {
	uint64_t found, missed; /* chains */
	uint64_t leaves_found, leaves_missed;
	uint64_t evicted; /* chains that the cap cost */
	uint64_t busy;    /* times that another thread was in it */
	size_t held, cap; /* chains */
};

/* What was asked about a chain. */
struct memo_question {
	uint8_t kind;        /* whatever tells questions of one memo apart */
	uint64_t generation; /* of the anchors (pki/trust.h) */
	const struct accord_chain *chain;
	struct bytes host, address;
};

must_check struct memo *memo_new(size_t cap); /* NULL without memory */
void memo_free(struct memo *memo);            /* NULL is allowed */

/* SHA-256 over all that the answer depends on but the time. False when there is no SHA-256. */
must_check bool memo_key(const struct memo_question *question, uint8_t out[MEMO_KEY]);
/* Whether the chain was good, and still is at `now_s`. *who is what memo_keep was given. */
must_check bool memo_find(struct memo *memo, const uint8_t key[MEMO_KEY], int64_t now_s, struct accord_identity *who);
/*
 * The chain is good now. `ends_s`: the first second at which it may not be. `leaf` is its end-entity certificate; a
 * reference is taken. Kept is what there is room for.
 */
void memo_keep(struct memo *memo, const uint8_t key[MEMO_KEY], int64_t now_s, int64_t ends_s,
	const struct accord_identity *who, X509 *leaf);
/* The decoded leaf of a chain kept, by its DER; a reference for the caller. NULL when there is none. */
must_check X509 *memo_leaf(struct memo *memo, struct bytes der);
/* As if nothing had been kept; the counts stay. */
void memo_forget(struct memo *memo);

must_check struct memo_counts memo_count(struct memo *memo);

#endif
