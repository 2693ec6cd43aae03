#include "share/entry.h"

#include "base/text.h"

void entry_of_release(
	const struct grant *grant, const struct release *release, struct entry_texts *texts, struct audit_entry *entry)
{
	bool raw = release->grade == RELEASE_GRADE_RAW, both = release->consent == RELEASE_BOTH;
	*entry = (struct audit_entry){.kind = AUDIT_RELEASE};
	text_hex(texts->grant, sizeof(texts->grant), bytes_of(release->grant, RELEASE_GRANT));
	text_hex(texts->key, sizeof(texts->key), bytes_of(grant->key_id, SEAL_KEY_ID));
	text_hex(texts->random, sizeof(texts->random), bytes_of(release->key.client_random, KEYLOG_RANDOM));
	audit_entry_add(entry, AUDIT_T("grant", bytes_str(texts->grant)));
	audit_entry_add(entry, AUDIT_T("reader_key", bytes_str(texts->key)));
	audit_entry_add(entry, AUDIT_C("connection", bytes_str(texts->random)));
	audit_entry_add(entry, AUDIT_C("name", bytes_str(release->name)));
	/* A line opens both directions, and all epochs that follow. */
	if (!raw) {
		audit_entry_add(entry, AUDIT_T("direction", bytes_str(release->key.from_client ? "client" : "server")));
		audit_entry_add(entry, AUDIT_N("epoch", release->key.epoch));
	}
	audit_entry_add(entry, AUDIT_T("mode", bytes_str(release->mode == RELEASE_LIVE ? "live" : "after-rotation")));
	audit_entry_add(entry, AUDIT_T("grade", bytes_str(raw ? "raw" : "record")));
	audit_entry_add(entry, AUDIT_N("count", 1));
	audit_entry_add(entry, AUDIT_T("consent", bytes_str(both ? "both" : "unilateral")));
	if (both)
		audit_entry_add(entry, AUDIT_T("bound", bytes_str(release->resumed ? "finished" : "certificate")));
}

void entry_of_refusal(const char *why, const char *side, uint64_t count, struct audit_entry *entry)
{
	*entry = (struct audit_entry){.kind = AUDIT_REFUSAL};
	audit_entry_add(entry, AUDIT_T("why", bytes_str(why)));
	audit_entry_add(entry, AUDIT_T("side", bytes_str(side)));
	audit_entry_add(entry, AUDIT_N("count", count));
}
