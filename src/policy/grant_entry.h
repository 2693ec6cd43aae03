/* policy/grant_entry.h — grants and their revocations as entries of the audit log. No I/O. */
#ifndef POLICY_GRANT_ENTRY_H
#define POLICY_GRANT_ENTRY_H

#include "audit/entry.h"
#include "keys/grant.h"

/* Texts that an entry points to: must live as long as it does. */
struct grant_texts {
	char id[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1], sha256[65], until[128], ends[GRANT_TIME_TEXT];
	char names[AUDIT_TEXT_MAX];
};

/* Empties the entry, then fills it; it points to the grant, too. */
void entry_of_grant(const struct grant *grant, struct grant_texts *texts, struct audit_entry *entry);
void entry_of_revocation(
	const struct grant *grant, const char *reason, struct grant_texts *texts, struct audit_entry *entry);

/* A field more; what has no text, and what this log's table does not have, is left out. */
void entry_add(struct audit_entry *entry, struct audit_field field);

#endif
