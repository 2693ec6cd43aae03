/* Grants as text: reading with positions, and writing. */
#include "keys/grant.h"

#include "base/text.h"
#include "base/yaml.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <time.h>

#define SPKI_PREFIX 12

/* SubjectPublicKeyInfo of X25519 before its key (RFC 8410, 4). */
static const uint8_t spki_prefix[SPKI_PREFIX] = {
	0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00};

/* Where a value is read to, and how errors name its place. */
struct form {
	const struct yaml_tree *tree;
	struct error *err;
};

typedef bool read_fn(const struct form *form, const struct yaml_node *node, void *out);

struct entry {
	const char *key;
	read_fn *read;
	void *out;
	bool optional;
};

static bool fail(const struct form *form, const struct yaml_node *at, const char *what)
{
	return yaml_error(form->err, form->tree, at, "%s", what);
}

/* A mapping with these entries and no others. */
static bool read_entries(const struct form *form, const struct yaml_node *node, const char *what,
	const struct entry *entries, size_t count)
{
	if (!node)
		return error_set(form->err, "%s: it is empty, and %s is wanted", form->tree->name, what);
	if (node->kind != YAML_KIND_MAPPING)
		return yaml_error(form->err, form->tree, node, "%s must be a mapping", what);
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		size_t i = 0;
		while (i < count && !yaml_is(child->key, entries[i].key))
			i++;
		if (i == count)
			return yaml_error(form->err, form->tree, child->key, "%s has no %s", what, child->key->text);
		if (!entries[i].read(form, child, entries[i].out))
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (!entries[i].optional && !yaml_get(node, entries[i].key))
			return yaml_error(form->err, form->tree, node, "%s lacks `%s`", what, entries[i].key);
	}
	return true;
}

static struct bytes scalar(const struct yaml_node *node)
{
	return node->kind == YAML_KIND_SCALAR ? bytes_of(node->text, node->len) : BYTES_NONE;
}

static bool read_one(const struct form *form, const struct yaml_node *node, void *out)
{
	(void)out;
	return yaml_is(node, "1") || fail(form, node, "this program knows form 1 only");
}

static bool read_hex(const struct form *form, const struct yaml_node *node, uint8_t *out, size_t len)
{
	size_t got;
	if (scalar(node).len == 2 * len && text_unhex(out, len, &got, scalar(node)) && got == len)
		return true;
	return yaml_error(form->err, form->tree, node, "this must be %zu hex digits", 2 * len);
}

static bool read_id(const struct form *form, const struct yaml_node *node, void *out)
{
	return read_hex(form, node, out, RELEASE_GRANT);
}

static bool read_time(const struct form *form, const struct yaml_node *node, void *out)
{
	return grant_time_read(scalar(node), out) ||
	       fail(form, node, "no time: write 2026-12-01T00:00:00Z, or 2026-12-01");
}

/* A text for people: no control characters. */
static bool read_words(const struct form *form, const struct yaml_node *node, char *out, size_t cap)
{
	struct bytes text = scalar(node);
	if (text.len == 0)
		return fail(form, node, "a text is missing here");
	if (text.len >= cap)
		return yaml_error(form->err, form->tree, node, "at most %zu octets", cap - 1);
	char clean[4 * GRANT_TEXT_MAX + 1];
	size_t len = text_clean(clean, sizeof(clean), text);
	if (!bytes_equal(bytes_of(clean, len), text))
		return fail(form, node, "control characters and invisible marks are not allowed here");
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return true;
}

static bool read_text(const struct form *form, const struct yaml_node *node, void *out)
{
	return read_words(form, node, out, GRANT_TEXT_MAX + 1);
}

static bool read_reader_name(const struct form *form, const struct yaml_node *node, void *out)
{
	return read_words(form, node, out, GRANT_READER_MAX + 1);
}

static bool read_key(const struct form *form, const struct yaml_node *node, void *out)
{
	struct grant *grant = out;
	uint8_t spki[SPKI_PREFIX + SEAL_KEY];
	struct bytes text = scalar(node);
	size_t len = 0;
	bool ok = text.len > 0 && sodium_base642bin(spki, sizeof(spki), (const char *)text.data, text.len, NULL, &len,
					  NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
	if (!ok || len != sizeof(spki) || memcmp(spki, spki_prefix, SPKI_PREFIX) != 0)
		return fail(form, node, "no X25519 public key: the base64 of its SubjectPublicKeyInfo is wanted");
	memcpy(grant->public_key, spki + SPKI_PREFIX, SEAL_KEY);
	return seal_key_id(grant->public_key, grant->key_id) || fail(form, node, "the key has no id");
}

static bool read_certificate(const struct form *form, const struct yaml_node *node, void *out)
{
	struct grant *grant = out;
	grant->has_certificate = true;
	return read_hex(form, node, grant->certificate, sizeof(grant->certificate));
}

static bool read_reader(const struct form *form, const struct yaml_node *node, void *out)
{
	struct grant *grant = out;
	const struct entry entries[] = {{"name", read_reader_name, grant->reader, false},
		{"key", read_key, grant, false}, {"certificate", read_certificate, grant, true}};
	return read_entries(form, node, "reader", entries, sizeof(entries) / sizeof(entries[0]));
}

/* Letters, digits, hyphens, underscores and dots, no empty label; in front "*." or "." or nothing; or "*" alone. */
static bool pattern_valid(struct bytes name)
{
	if (bytes_equal(name, bytes_str("*")))
		return true;
	if (bytes_starts(name, bytes_str("*.")))
		(void)!bytes_skip(&name, 2);
	else if (bytes_starts(name, bytes_str(".")))
		(void)!bytes_skip(&name, 1);
	bool dot = true;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		             c == '_' || c == ':';
		if (!plain && (c != '.' || dot))
			return false;
		dot = c == '.';
	}
	return name.len > 0 && !dot;
}

static bool read_name(const struct form *form, const struct yaml_node *node, struct grant *grant)
{
	struct bytes name = scalar(node);
	if (name.len == 0 || name.len > GRANT_NAME_MAX || !pattern_valid(name))
		return fail(form, node, "no name: example.com, *.example.com, .example.com or \"*\"");
	if (grant->name_count == GRANT_NAMES_MAX)
		return yaml_error(form->err, form->tree, node, "at most %d names", GRANT_NAMES_MAX);
	char *to = grant->names[grant->name_count++];
	memcpy(to, name.data, name.len);
	to[name.len] = '\0';
	return true;
}

static bool read_names(const struct form *form, const struct yaml_node *node, void *out)
{
	if (node->kind == YAML_KIND_SCALAR)
		return read_name(form, node, out);
	if (node->kind != YAML_KIND_SEQUENCE || node->count == 0)
		return fail(form, node, "names are a list with at least one");
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		if (!read_name(form, child, out))
			return false;
	}
	return true;
}

static bool read_sender(const struct form *form, const struct yaml_node *node, struct grant *grant)
{
	if (grant->sender_count == GRANT_SENDERS_MAX)
		return yaml_error(form->err, form->tree, node, "at most %d senders", GRANT_SENDERS_MAX);
	return read_words(form, node, grant->senders[grant->sender_count++], GRANT_SENDER_MAX + 1);
}

static bool read_senders(const struct form *form, const struct yaml_node *node, void *out)
{
	if (node->kind != YAML_KIND_SEQUENCE || node->count == 0)
		return fail(form, node, "senders are a list of the names in their certificates, or of key hashes");
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		if (!read_sender(form, child, out))
			return false;
	}
	return true;
}

static bool read_directions(const struct form *form, const struct yaml_node *node, void *out)
{
	struct grant *grant = out;
	if (node->kind != YAML_KIND_SEQUENCE || node->count == 0)
		return fail(form, node, "directions are a list of client, server or both");
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		if (yaml_is(child, "client"))
			grant->from_client = true;
		else if (yaml_is(child, "server"))
			grant->from_server = true;
		else
			return fail(form, child, "a direction is client or server: who writes");
	}
	return true;
}

static bool read_choice(
	const struct form *form, const struct yaml_node *node, uint8_t *out, const char *one, const char *two)
{
	*out = yaml_is(node, one) ? 1 : yaml_is(node, two) ? 2 : 0;
	return *out || yaml_error(form->err, form->tree, node, "this is %s or %s", one, two);
}

static bool read_mode(const struct form *form, const struct yaml_node *node, void *out)
{
	return read_choice(form, node, out, "live", "after-rotation");
}

static bool read_consent(const struct form *form, const struct yaml_node *node, void *out)
{
	return read_choice(form, node, out, "both", "unilateral");
}

static bool read_grade(const struct form *form, const struct yaml_node *node, void *out)
{
	return read_choice(form, node, out, "record", "raw");
}

static bool read_size(const struct form *form, const struct yaml_node *node, void *out)
{
	uint64_t *octets = out;
	return (text_size(scalar(node), octets) && *octets > 0) || fail(form, node, "no size: write 10MiB");
}

static bool read_seconds(const struct form *form, const struct yaml_node *node, void *out)
{
	uint64_t seconds, *ns = out;
	if (!text_number(scalar(node), 10000000, &seconds) || seconds == 0)
		return fail(form, node, "no number of seconds");
	*ns = seconds * UINT64_C(1000000000);
	return true;
}

static bool read_bool(const struct form *form, const struct yaml_node *node, void *out)
{
	return yaml_bool(node, out) || fail(form, node, "this is true or false");
}

static bool read_until(const struct form *form, const struct yaml_node *node, void *out)
{
	struct grant *grant = out;
	const struct entry entries[] = {{"time", read_time, &grant->until_s, true},
		{"bytes", read_size, &grant->until_octets, true},
		{"seconds", read_seconds, &grant->until_conn_ns, true},
		{"reader", read_bool, &grant->until_reader, true}};
	return read_entries(form, node, "until", entries, sizeof(entries) / sizeof(entries[0]));
}

static bool tree_read(struct bytes text, const char *name, struct yaml_tree **tree, struct error *err)
{
	if (text.len > GRANT_FILE_MAX)
		return error_set(err, "%s: over %d octets", name, GRANT_FILE_MAX);
	return yaml_tree_read(tree, text, name, err) == YAML_OK;
}

static bool tree_grant(const struct form *form, struct grant *out)
{
	const struct entry entries[] = {{"grant", read_one, NULL, false}, {"id", read_id, out->id, false},
		{"issued", read_time, &out->issued_s, false}, {"reader", read_reader, out, false},
		{"names", read_names, out, false}, {"directions", read_directions, out, false},
		{"mode", read_mode, &out->mode, false}, {"consent", read_consent, &out->consent, false},
		{"reason", read_text, out->reason, true}, {"purpose", read_text, out->purpose, false},
		{"grade", read_grade, &out->grade, false}, {"senders", read_senders, out, true},
		{"until", read_until, out, true}};
	struct error why;
	if (!read_entries(form, form->tree->root, "a grant", entries, sizeof(entries) / sizeof(entries[0])))
		return false;
	return grant_check(out, &why) ||
	       yaml_error(form->err, form->tree, yaml_get(form->tree->root, "grant"), "%s", why.text);
}

bool grant_parse(struct bytes text, const char *name, struct grant *out, struct error *err)
{
	struct yaml_tree *tree = NULL;
	*out = (struct grant){0};
	if (!tree_read(text, name, &tree, err) || !tree)
		return false;
	bool ok = tree_grant(&(struct form){tree, err}, out);
	yaml_tree_free(tree);
	return ok;
}

bool grant_revocation_parse(struct bytes text, const char *name, struct grant_revocation *out, struct error *err)
{
	struct yaml_tree *tree = NULL;
	*out = (struct grant_revocation){0};
	if (!tree_read(text, name, &tree, err) || !tree)
		return false;
	const struct form form = {tree, err};
	const struct entry entries[] = {{"revocation", read_one, NULL, false}, {"grant", read_id, out->grant, false},
		{"time", read_time, &out->time_s, false}, {"reason", read_text, out->reason, false}};
	bool ok = read_entries(&form, tree->root, "a revocation", entries, sizeof(entries) / sizeof(entries[0]));
	yaml_tree_free(tree);
	return ok;
}

/* Times. */

bool grant_time_read(struct bytes text, int64_t *out_s)
{
	char room[GRANT_TIME_TEXT], again[GRANT_TIME_TEXT];
	struct tm tm = {0};
	if (text.len == 0 || text.len >= sizeof(room))
		return false;
	memcpy(room, text.data, text.len);
	room[text.len] = '\0';
	bool date = text.len == 10;
	const char *end = strptime(room, date ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!end || *end != '\0')
		return false;
	int64_t s = (int64_t)timegm(&tm);
	/* What the calendar does not have (30 February) comes back as another day. */
	if (s <= 0 || strncmp(grant_time_text(s, again), room, text.len) != 0)
		return false;
	*out_s = s;
	return true;
}

const char *grant_time_text(int64_t s, char out[static GRANT_TIME_TEXT])
{
	time_t at = (time_t)s;
	struct tm tm;
	if (!gmtime_r(&at, &tm) || strftime(out, GRANT_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, GRANT_TIME_TEXT, "-");
	return out;
}

/* Writing. */

static void text_put(struct writer *to, const char *text)
{
	writer_bytes(to, bytes_str(text));
}

static void line_put(struct writer *to, const char *key, const char *value)
{
	text_put(to, key);
	text_put(to, ": ");
	text_put(to, value);
	text_put(to, "\n");
}

/* A scalar in double quotes, which needs two escapes only since control characters are not allowed. */
static void quoted_put(struct writer *to, const char *text)
{
	text_put(to, "\"");
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			text_put(to, "\\");
		writer_u8(to, (uint8_t)*c);
	}
	text_put(to, "\"");
}

static void words_put(struct writer *to, const char *key, const char *text)
{
	text_put(to, key);
	text_put(to, ": ");
	quoted_put(to, text);
	text_put(to, "\n");
}

static void hex_put(struct writer *to, const char *key, struct bytes octets)
{
	char hex[2 * SEAL_KEY_ID + 1];
	text_hex(hex, sizeof(hex), octets);
	/* In quotes: a word of digits alone would be read as it stands, but people's tools make numbers of it. */
	words_put(to, key, hex);
}

static void reader_put(struct writer *to, const struct grant *grant)
{
	uint8_t spki[SPKI_PREFIX + SEAL_KEY];
	char base64[sodium_base64_ENCODED_LEN(SPKI_PREFIX + SEAL_KEY, sodium_base64_VARIANT_ORIGINAL)];
	memcpy(spki, spki_prefix, SPKI_PREFIX);
	memcpy(spki + SPKI_PREFIX, grant->public_key, SEAL_KEY);
	sodium_bin2base64(base64, sizeof(base64), spki, sizeof(spki), sodium_base64_VARIANT_ORIGINAL);
	text_put(to, "reader:\n");
	words_put(to, "  name", grant->reader);
	words_put(to, "  key", base64);
	if (grant->has_certificate)
		hex_put(to, "  certificate", bytes_of(grant->certificate, sizeof(grant->certificate)));
}

static void until_put(struct writer *to, const struct grant *grant)
{
	char text[GRANT_TIME_TEXT];
	if (!grant->until_s && !grant->until_octets && !grant->until_conn_ns && !grant->until_reader)
		return;
	text_put(to, "until:\n");
	if (grant->until_s)
		line_put(to, "  time", grant_time_text(grant->until_s, text));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)grant->until_octets);
	if (grant->until_octets)
		line_put(to, "  bytes", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(grant->until_conn_ns / UINT64_C(1000000000)));
	if (grant->until_conn_ns)
		line_put(to, "  seconds", text);
	if (grant->until_reader)
		line_put(to, "  reader", "true");
}

static void list_put(struct writer *to, const char *key, const char *first, size_t each, size_t count)
{
	if (count == 0)
		return;
	text_put(to, key);
	text_put(to, ":\n");
	for (size_t i = 0; i < count; i++) {
		text_put(to, "  - ");
		quoted_put(to, first + i * each);
		text_put(to, "\n");
	}
}

bool grant_write(const struct grant *grant, struct writer *to)
{
	char time[GRANT_TIME_TEXT];
	text_put(to, "grant: 1\n");
	hex_put(to, "id", bytes_of(grant->id, RELEASE_GRANT));
	line_put(to, "issued", grant_time_text(grant->issued_s, time));
	reader_put(to, grant);
	list_put(to, "names", grant->names[0], sizeof(grant->names[0]), grant->name_count);
	line_put(to, "directions",
		grant->from_client && grant->from_server ? "[client, server]"
		: grant->from_client                     ? "[client]"
							 : "[server]");
	line_put(to, "mode", grant->mode == RELEASE_LIVE ? "live" : "after-rotation");
	line_put(to, "consent", grant->consent == RELEASE_BOTH ? "both" : "unilateral");
	if (grant->reason[0])
		words_put(to, "reason", grant->reason);
	words_put(to, "purpose", grant->purpose);
	line_put(to, "grade", grant->grade == RELEASE_GRADE_RAW ? "raw" : "record");
	list_put(to, "senders", grant->senders[0], sizeof(grant->senders[0]), grant->sender_count);
	until_put(to, grant);
	return !to->full;
}

bool grant_revocation_write(const struct grant_revocation *revocation, struct writer *to)
{
	char time[GRANT_TIME_TEXT];
	text_put(to, "revocation: 1\n");
	hex_put(to, "grant", bytes_of(revocation->grant, RELEASE_GRANT));
	line_put(to, "time", grant_time_text(revocation->time_s, time));
	words_put(to, "reason", revocation->reason);
	return !to->full;
}
