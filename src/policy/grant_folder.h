/*
 * policy/grant_folder.h — the grants and revocations that stand as files in a folder, and what changed there. Reads files
 * and no clock: times are arguments.
 */
#ifndef POLICY_GRANT_FOLDER_H
#define POLICY_GRANT_FOLDER_H

#include "audit/entry.h"
#include "keys/grant.h"

#include <time.h>

/* Of one thread. The texts and the signers must stay. Zeroed but for the first four when new. */
struct grant_folder {
	const char *path; /* of *.grant and *.revoked */
	const struct note_key *signers;
	size_t signer_count;
	void (*bad)(void *arg, const char *text); /* a file that was left out, and why; NULL: nobody wants to know */
	void *arg;
	struct timespec changed; /* the folder, when it was read last */
	uint64_t read_ns;        /* monotonic, when it was read last */
	uint64_t errors;         /* files left out so far */
};

/*
 * Reads all of it. A file that cannot be read or does not count is left out and said: it gives nothing to anybody, and
 * the others count. NULL with `err` set when the folder cannot be read. The set is the caller's.
 */
must_check struct grant_set *grant_folder_read(struct grant_folder *folder, uint64_t now_ns, struct error *err);
/* Whether it may have changed since: its time is another, or so young that a change in the same tick would not show. */
must_check bool grant_folder_stale(const struct grant_folder *folder, int64_t wall_s, uint64_t now_ns);

/*
 * What `fresh` has and `old` (NULL: nothing) has not, as entries: each grant that came, each that was revoked, each that
 * is there no more. False as soon as `append` says so.
 */
must_check bool grant_folder_changes(const struct grant_set *old, const struct grant_set *fresh,
	bool (*append)(void *arg, const struct audit_entry *entry), void *arg);

#endif
