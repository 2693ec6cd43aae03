#include "audit/entry.h"

struct known_field {
	const char *key;
	enum audit_type type;
};

struct known_kind {
	const char *name;
	struct known_field fields[AUDIT_FIELDS_MAX];
};

/*
 * What a log may say. A person's name, address or site never has type AUDIT_TEXT, but for what a grant itself says may
 * stand open. No field holds a key or a secret: where one is spoken of, it is by an id or a digest.
 */
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
	[AUDIT_CONTINUES] = {"continues",
		{{"file", AUDIT_TEXT}, {"origin", AUDIT_TEXT}, {"size", AUDIT_NUMBER}, {"root", AUDIT_TEXT}}},
	[AUDIT_CONTINUED] = {"continued", {{"verifier", AUDIT_TEXT}}},
	[AUDIT_PROOF] = {"proof", {{"flow", AUDIT_NUMBER}, {"worker", AUDIT_NUMBER}, {"proof_sha256", AUDIT_TEXT},
					  {"client", AUDIT_COMMIT}, {"name", AUDIT_COMMIT}, {"server", AUDIT_COMMIT},
					  {"proxies", AUDIT_TEXT}, {"role", AUDIT_TEXT}, {"level", AUDIT_TEXT},
					  {"generation", AUDIT_NUMBER}}},
	[AUDIT_APPROVAL] = {"approval", {{"flow", AUDIT_NUMBER}, {"worker", AUDIT_NUMBER}, {"approval_key", AUDIT_TEXT},
						{"proof_sha256", AUDIT_TEXT}, {"client", AUDIT_COMMIT},
						{"verdict", AUDIT_TEXT}, {"reason", AUDIT_TEXT}}},
	[AUDIT_GRANT] = {"grant",
		{{"grant", AUDIT_TEXT}, {"reader_key", AUDIT_TEXT}, {"reader", AUDIT_TEXT}, {"names", AUDIT_TEXT},
			{"names_commit", AUDIT_COMMIT}, {"directions", AUDIT_TEXT}, {"mode", AUDIT_TEXT},
			{"grade", AUDIT_TEXT}, {"purpose", AUDIT_TEXT}, {"until", AUDIT_TEXT}, {"consent", AUDIT_TEXT},
			{"reason", AUDIT_TEXT}, {"ends", AUDIT_TEXT}, {"grant_sha256", AUDIT_TEXT},
			{"signer", AUDIT_TEXT}}},
	[AUDIT_REVOKE] = {"revoke", {{"grant", AUDIT_TEXT}, {"reason", AUDIT_TEXT}, {"reader_key", AUDIT_TEXT}}},
	[AUDIT_RELEASE] = {"release",
		{{"grant", AUDIT_TEXT}, {"reader_key", AUDIT_TEXT}, {"connection", AUDIT_COMMIT},
			{"name", AUDIT_COMMIT}, {"direction", AUDIT_TEXT}, {"epoch", AUDIT_NUMBER},
			{"suite", AUDIT_TEXT}, {"mode", AUDIT_TEXT}, {"grade", AUDIT_TEXT}, {"count", AUDIT_NUMBER},
			{"consent", AUDIT_TEXT}, {"bound", AUDIT_TEXT}, {"sender", AUDIT_TEXT},
			{"sender_key", AUDIT_TEXT}}},
	[AUDIT_REFUSAL] = {"refusal",
		{{"why", AUDIT_TEXT}, {"side", AUDIT_TEXT}, {"grant", AUDIT_TEXT}, {"reader_key", AUDIT_TEXT},
			{"connection", AUDIT_COMMIT}, {"name", AUDIT_COMMIT}, {"count", AUDIT_NUMBER},
			{"sender", AUDIT_TEXT}, {"sender_key", AUDIT_TEXT}}},
	[AUDIT_READ] = {"read",
		{{"client", AUDIT_TEXT}, {"client_name", AUDIT_TEXT}, {"as", AUDIT_TEXT}, {"keys", AUDIT_NUMBER},
			{"of", AUDIT_COMMIT}, {"grant", AUDIT_TEXT}, {"reader_key", AUDIT_TEXT}}},
	[AUDIT_COLLECTOR] = {"collector",
		{{"action", AUDIT_TEXT}, {"listening", AUDIT_TEXT}, {"cert_sha256", AUDIT_TEXT}, {"reason", AUDIT_TEXT},
			{"lifetime", AUDIT_TEXT}, {"sealed", AUDIT_TEXT}}},
};

const char *audit_kind_name(enum audit_kind kind)
{
	return (unsigned)kind < AUDIT_KINDS ? kinds[kind].name : "unknown";
}

enum audit_kind audit_kind_named(struct bytes name)
{
	unsigned kind = 0;
	while (kind < AUDIT_KINDS && !bytes_equal(name, bytes_str(kinds[kind].name)))
		kind++;
	return (enum audit_kind)kind;
}

bool audit_field_type(enum audit_kind kind, struct bytes key, enum audit_type *type)
{
	if ((unsigned)kind >= AUDIT_KINDS)
		return false;
	for (size_t i = 0; i < AUDIT_FIELDS_MAX && kinds[kind].fields[i].key; i++) {
		if (!bytes_equal(key, bytes_str(kinds[kind].fields[i].key)))
			continue;
		*type = kinds[kind].fields[i].type;
		return true;
	}
	return false;
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

static struct bytes text_field(const struct audit_entry *entry, const char *key)
{
	for (size_t i = 0; i < entry->count; i++) {
		if (strcmp(entry->fields[i].key, key) == 0)
			return entry->fields[i].text;
	}
	return BYTES_NONE;
}

/* A grant that one side alone gave must stand in the log in such a way that it can be found and ends. */
static bool grant_check(const struct audit_entry *entry, struct error *err)
{
	struct bytes consent = text_field(entry, "consent");
	bool unilateral = bytes_equal(consent, bytes_str("unilateral"));
	if (!unilateral && !bytes_equal(consent, bytes_str("both")))
		return error_set(err, "audit entry grant: consent must be both or unilateral");
	if (text_field(entry, "grant").len == 0 || text_field(entry, "reader_key").len == 0)
		return error_set(err, "audit entry grant: it needs grant and reader_key");
	if (unilateral && (text_field(entry, "reason").len == 0 || text_field(entry, "ends").len == 0))
		return error_set(err, "audit entry grant: consent unilateral needs reason and ends");
	return true;
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
	return entry->kind != AUDIT_GRANT || grant_check(entry, err);
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
