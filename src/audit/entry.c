#include "audit/entry.h"

struct known_field {
	const char *key;
	enum audit_type type;
};

struct known_kind {
	const char *name;
	struct known_field fields[AUDIT_FIELDS_MAX];
};

/* What a log may say. A person's name, address or site never has type AUDIT_TEXT. */
static const struct known_kind kinds[AUDIT_KINDS] = {
	[AUDIT_START] = {"start", {{"version", AUDIT_TEXT}, {"config_sha256", AUDIT_TEXT}, {"mode", AUDIT_TEXT}}},
	[AUDIT_STOP] = {"stop", {{"reason", AUDIT_TEXT}}},
	[AUDIT_SNAPSHOT] = {"snapshot",
		{{"generation", AUDIT_NUMBER}, {"rules", AUDIT_TEXT}, {"rules_sha256", AUDIT_TEXT},
			{"sinks", AUDIT_TEXT}, {"readers", AUDIT_TEXT}, {"config_sha256", AUDIT_TEXT},
			{"operator", AUDIT_TEXT}, {"contact", AUDIT_TEXT}, {"purpose", AUDIT_TEXT},
			{"retention", AUDIT_TEXT}}},
	[AUDIT_INSPECTED] = {"inspected",
		{{"flow", AUDIT_NUMBER}, {"worker", AUDIT_NUMBER}, {"client", AUDIT_COMMIT}, {"name", AUDIT_COMMIT},
			{"server", AUDIT_COMMIT}, {"rule", AUDIT_TEXT}, {"role", AUDIT_TEXT},
			{"generation", AUDIT_NUMBER}, {"accord", AUDIT_TEXT}}},
	[AUDIT_KEYLOG] = {"keylog", {{"file", AUDIT_TEXT}, {"role", AUDIT_TEXT}}},
	[AUDIT_CA] = {"ca", {{"action", AUDIT_TEXT}, {"subject", AUDIT_TEXT}, {"sha256", AUDIT_TEXT},
				    {"not_after", AUDIT_TEXT}, {"names", AUDIT_TEXT}}},
	[AUDIT_REPAIRED] = {"repaired", {{"octets", AUDIT_NUMBER}}},
	[AUDIT_RESUMED] = {"resumed", {{"reason", AUDIT_TEXT}, {"lost", AUDIT_NUMBER}}},
};

const char *audit_kind_name(enum audit_kind kind)
{
	return (unsigned)kind < AUDIT_KINDS ? kinds[kind].name : "unknown";
}

bool audit_entry_add(struct audit_entry *entry, struct audit_field field)
{
	if (entry->count >= AUDIT_FIELDS_MAX)
		return false;
	entry->fields[entry->count++] = field;
	return true;
}

/* The field's place in its kind's table; AUDIT_FIELDS_MAX when it has none. */
static size_t field_place(enum audit_kind kind, const char *key)
{
	for (size_t i = 0; i < AUDIT_FIELDS_MAX && kinds[kind].fields[i].key; i++) {
		if (strcmp(kinds[kind].fields[i].key, key) == 0)
			return i;
	}
	return AUDIT_FIELDS_MAX;
}

bool audit_entry_check(const struct audit_entry *entry, struct error *err)
{
	if ((unsigned)entry->kind >= AUDIT_KINDS)
		return error_set(err, "audit entry: kind %u is not known", (unsigned)entry->kind);
	const char *name = kinds[entry->kind].name;
	uint32_t seen = 0;
	for (size_t i = 0; i < entry->count; i++) {
		const struct audit_field *field = &entry->fields[i];
		size_t place = field_place(entry->kind, field->key);
		if (place == AUDIT_FIELDS_MAX)
			return error_set(err, "audit entry %s: field %s is not known", name, field->key);
		if (field->type != kinds[entry->kind].fields[place].type)
			return error_set(err, "audit entry %s: field %s has the wrong type", name, field->key);
		if (seen & 1U << place)
			return error_set(err, "audit entry %s: field %s stands twice", name, field->key);
		seen |= 1U << place;
	}
	return true;
}

/* u8 kind, u8 count, then per field: u8 place in the table, and u64 or vec16. */
void audit_entry_write(struct writer *w, const struct audit_entry *entry)
{
	writer_u8(w, (uint8_t)entry->kind);
	writer_u8(w, (uint8_t)entry->count);
	for (size_t i = 0; i < entry->count; i++) {
		const struct audit_field *field = &entry->fields[i];
		writer_u8(w, (uint8_t)field_place(entry->kind, field->key));
		if (field->type == AUDIT_NUMBER) {
			writer_u64(w, field->number);
		} else {
			size_t len = field->text.len < AUDIT_TEXT_MAX ? field->text.len : AUDIT_TEXT_MAX;
			writer_vec16(w, bytes_of(field->text.data, len));
		}
	}
}

static bool field_read(struct bytes *in, const struct known_field *known, struct audit_field *field)
{
	*field = (struct audit_field){.key = known->key, .type = known->type};
	if (known->type == AUDIT_NUMBER)
		return bytes_u64(in, &field->number);
	return bytes_vec16(in, &field->text) && field->text.len <= AUDIT_TEXT_MAX;
}

bool audit_entry_read(struct bytes in, struct audit_entry *entry, struct error *err)
{
	uint8_t kind;
	uint8_t count;
	struct audit_entry read = {0};
	if (!bytes_u8(&in, &kind) || kind >= AUDIT_KINDS || !bytes_u8(&in, &count) || count > AUDIT_FIELDS_MAX)
		return error_set(err, "audit entry: not in the form of one");
	read.kind = kind;
	for (; read.count < count; read.count++) {
		uint8_t place;
		if (!bytes_u8(&in, &place) || place >= AUDIT_FIELDS_MAX || !kinds[kind].fields[place].key ||
			!field_read(&in, &kinds[kind].fields[place], &read.fields[read.count]))
			return error_set(err, "audit entry %s: field %zu is broken", kinds[kind].name, read.count + 1);
	}
	if (in.len)
		return error_set(err, "audit entry %s: %zu octets too many", kinds[kind].name, in.len);
	if (!audit_entry_check(&read, err))
		return false;
	*entry = read;
	return true;
}
