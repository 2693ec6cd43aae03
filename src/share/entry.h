/* share/entry.h — what leaves this host, and what does not, as entries of its audit log. No I/O. */
#ifndef SHARE_ENTRY_H
#define SHARE_ENTRY_H

#include "audit/entry.h"
#include "keys/grant.h"

/* Texts that an entry points to: must live as long as it does. */
struct entry_texts {
	char grant[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1], random[2 * KEYLOG_RANDOM + 1];
};

/* One release to one reader. It points to both, too. */
void entry_of_release(
	const struct grant *grant, const struct release *release, struct entry_texts *texts, struct audit_entry *entry);
/* `count` keys that did not leave, or that were not taken; `side` is "host" or "collector". */
void entry_of_refusal(const char *why, const char *side, uint64_t count, struct audit_entry *entry);

#endif
