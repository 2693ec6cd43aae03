#include "policy/grant_entry.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>

void entry_add(struct audit_entry *entry, struct audit_field field)
{
	enum audit_type type;
	if (field.type != AUDIT_NUMBER && field.text.len == 0)
		return;
	if (audit_field_type(entry->kind, bytes_str(field.key), &type) && type == field.type)
		(void)!audit_entry_add(entry, field);
}

static void until_text(const struct grant *grant, char *out, size_t cap)
{
	size_t len = 0;
	out[0] = '\0';
	if (grant->until_octets)
		len += (size_t)snprintf(out, cap, "%llu octets", (unsigned long long)grant->until_octets);
	if (grant->until_conn_ns)
		len += (size_t)snprintf(out + len, cap - len, "%s%llu s", len ? ", " : "",
			(unsigned long long)(grant->until_conn_ns / NS_PER_S));
	if (grant->until_reader)
		snprintf(out + len, cap - len, "%sthe reader says enough", len ? ", " : "");
}

static void names_text(const struct grant *grant, char *out, size_t cap)
{
	size_t len = 0;
	out[0] = '\0';
	for (size_t i = 0; i < grant->name_count && len + GRANT_NAME_MAX + 2 < cap; i++)
		len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? " " : "", grant->names[i]);
}

static void ids_text(const struct grant *grant, struct grant_texts *texts)
{
	text_hex(texts->id, sizeof(texts->id), bytes_of(grant->id, RELEASE_GRANT));
	text_hex(texts->key, sizeof(texts->key), bytes_of(grant->key_id, SEAL_KEY_ID));
}

void entry_of_grant(const struct grant *grant, struct grant_texts *texts, struct audit_entry *entry)
{
	const char *directions = grant->from_client && grant->from_server ? "client server"
	                         : grant->from_client                     ? "client"
	                                                                  : "server";
	ids_text(grant, texts);
	text_hex(texts->sha256, sizeof(texts->sha256), bytes_of(grant->sha256, sizeof(grant->sha256)));
	until_text(grant, texts->until, sizeof(texts->until));
	names_text(grant, texts->names, sizeof(texts->names));
	*entry = (struct audit_entry){.kind = AUDIT_GRANT};
	entry_add(entry, AUDIT_T("grant", bytes_str(texts->id)));
	entry_add(entry, AUDIT_T("reader_key", bytes_str(texts->key)));
	entry_add(entry, AUDIT_T("reader", bytes_str(grant->reader)));
	entry_add(entry, AUDIT_T("names", bytes_str(texts->names)));
	entry_add(entry, AUDIT_T("directions", bytes_str(directions)));
	entry_add(entry, AUDIT_T("mode", bytes_str(grant->mode == RELEASE_LIVE ? "live" : "after-rotation")));
	entry_add(entry, AUDIT_T("grade", bytes_str(grant->grade == RELEASE_GRADE_RAW ? "raw" : "record")));
	entry_add(entry, AUDIT_T("purpose", bytes_str(grant->purpose)));
	entry_add(entry, AUDIT_T("until", bytes_str(texts->until)));
	entry_add(entry, AUDIT_T("consent", bytes_str(grant->consent == RELEASE_BOTH ? "both" : "unilateral")));
	entry_add(entry, AUDIT_T("reason", bytes_str(grant->reason)));
	if (grant->until_s)
		entry_add(entry, AUDIT_T("ends", bytes_str(grant_time_text(grant->until_s, texts->ends))));
	entry_add(entry, AUDIT_T("grant_sha256", bytes_str(texts->sha256)));
	entry_add(entry, AUDIT_T("signer", bytes_str(grant->signer)));
}

void entry_of_revocation(
	const struct grant *grant, const char *reason, struct grant_texts *texts, struct audit_entry *entry)
{
	ids_text(grant, texts);
	*entry = (struct audit_entry){.kind = AUDIT_REVOKE};
	entry_add(entry, AUDIT_T("grant", bytes_str(texts->id)));
	entry_add(entry, AUDIT_T("reason", bytes_str(reason)));
	entry_add(entry, AUDIT_T("reader_key", bytes_str(texts->key)));
}
