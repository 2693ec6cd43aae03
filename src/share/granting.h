/*
 * share/granting.h — the grants of this host in force: which readers get a release, and a sealer for each. One thread.
 * Grants come and go while it runs: the folder is looked at again when it has changed. What comes into force or ends is
 * logged first; while the log does not take it, what was in force stays.
 */
#ifndef SHARE_GRANTING_H
#define SHARE_GRANTING_H

#include "audit/entry.h"
#include "keys/courier.h"
#include "keys/grant.h"
#include "share/ends.h"

struct granting;

struct granting_options {
	const char *folder; /* of *.grant and *.revoked. The texts and the signers must stay */
	const struct note_key *signers;
	size_t signer_count;
	/* The certificate by which this host sends: where a grant names its senders. Empty and zeros: it has none. */
	const char *sender;
	uint8_t sender_key[32]; /* SHA-256 of its SubjectPublicKeyInfo */
	/* Appends to this host's log, before what it speaks of takes effect. False: it cannot be written. */
	bool (*log)(void *arg, const struct audit_entry *entry);
	/* Nothing more of this connection is released under this grant: its keys are to change. NULL: nobody wants to know. */
	ends_tell_fn *over;
	void *arg;
};

struct granting_counts {
	uint64_t over;      /* grants that ended within a connection */
	uint64_t kept_back; /* releases that a grant would cover, but for its end in that connection */
	uint64_t evicted;   /* connections that had to be forgotten */
};

/* NULL with `err` set when the folder cannot be read, or the log not be written. */
must_check struct granting *granting_new(const struct granting_options *options, struct error *err);
void granting_free(struct granting *granting); /* NULL is allowed */
/* Reads the folder again when it has changed, and ends what has ended by now. On a fault the old grants stay. */
void granting_refresh(struct granting *granting, int64_t wall_s, uint64_t now_ns);
/* When granting_refresh has something to end, monotonic; UINT64_MAX: never. */
must_check uint64_t granting_next(const struct granting *granting);
/* The collector takes no more under this grant. */
void granting_end(struct granting *granting, const uint8_t id[static RELEASE_GRANT], enum courier_why why);
/*
 * Whether what was sealed under this grant may still leave: it is here, and neither revoked nor over. That it has ended
 * within a connection is no reason: what was released there is of before.
 */
must_check bool granting_lasts(struct granting *granting, const uint8_t id[static RELEASE_GRANT], int64_t wall_s);
/* Whether a grant of grade raw is in force: then lines of key logs are wanted. */
must_check bool granting_wants_lines(const struct granting *granting, int64_t wall_s);

/* What is known of a release beside what leaves of it. */
struct granting_ask {
	int64_t wall_s;     /* since 1970 UTC */
	uint64_t now_ns;    /* monotonic */
	const uint8_t *tag; /* ENDS_TAG octets, for `over`; NULL: none */
};

/*
 * Seals the release to the reader of each grant that covers it, in the order of the folder, and gives each to `give`,
 * with grant, mode and consent set. Returns how many.
 */
size_t granting_seal(struct granting *granting, struct release *release, const struct granting_ask *ask,
	void (*give)(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed),
	void *arg);

must_check struct granting_counts granting_count(const struct granting *granting);

#endif
