#include "proxy/record.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>

static void add_text(struct record *record, const char *key, const char *text)
{
	if (text && text[0])
		audit_entry_add(&record->entry, AUDIT_T(key, bytes_str(text)));
}

void record_start(struct record *record, const struct config *config)
{
	*record = (struct record){.entry.kind = AUDIT_START};
	add_text(record, "version", OVERT_VERSION);
	add_text(record, "config_sha256", config->file_sha256);
	add_text(record, "mode", config->single ? "single" : "family");
}

/* What is shown to whom: the readers of this proxy are whoever reads these. */
static void list_sinks(const struct config *config, char *out, size_t cap)
{
	int n = snprintf(out, cap, "%s", config->quiet ? "" : "terminal");
	const struct {
		const char *name, *file;
	} files[] = {{"jsonl", config->jsonl}, {"pcapng", config->pcapng}, {"keylog", config->keylog}};
	for (size_t i = 0; i < 3 && n >= 0 && (size_t)n < cap; i++) {
		if (files[i].file)
			n += snprintf(
				out + n, cap - (size_t)n, "%s%s:%s", n > 0 ? " " : "", files[i].name, files[i].file);
	}
}

void record_snapshot(
	struct record *record, const struct config *config, const struct policy *policy, uint64_t generation)
{
	*record = (struct record){.entry.kind = AUDIT_SNAPSHOT};
	text_hex(record->digest, sizeof(record->digest), bytes_of(policy_digest(policy), POLICY_DIGEST));
	list_sinks(config, record->sinks, sizeof(record->sinks));
	add_text(record, "rules", config->rules ? config->rules : "built in");
	add_text(record, "rules_sha256", record->digest);
	add_text(record, "sinks", record->sinks);
	add_text(record, "config_sha256", config->file_sha256);
	add_text(record, "operator", config->operator_name);
	add_text(record, "contact", config->contact);
	add_text(record, "purpose", config->purpose);
	if (config->retention_ns > 0)
		snprintf(record->retention, sizeof(record->retention), "%llus",
			(unsigned long long)(config->retention_ns / NS_PER_S));
	add_text(record, "retention", record->retention);
	audit_entry_add(&record->entry, AUDIT_N("generation", generation));
}

bool record_keylog(struct record *record, const struct config *config)
{
	*record = (struct record){.entry.kind = AUDIT_KEYLOG};
	add_text(record, "file", config->keylog);
	add_text(record, "role", "reader");
	return config->keylog != NULL;
}
