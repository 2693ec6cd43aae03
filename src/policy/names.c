#include "policy/names.h"

#include "base/hash.h"

#include <stdlib.h>

/*
 * Open addressing. A slot holds half of the hash and where the line begins; the line itself says the rest, and is read
 * again only when the halves agree. Two thirds full: twelve octets per name.
 */
struct slot {
	uint32_t tag;
	uint32_t line; /* offset into the text + 1; 0: free */
};

struct names {
	struct bytes text;
	struct slot *slots;
	uint32_t slot_count;
	uint8_t fewest, most; /* labels of any pattern: suffixes outside are not looked up */
	struct names_counts counts;
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes trimmed(struct bytes in)
{
	size_t start = 0;
	while (start < in.len && is_blank(in.data[start]))
		start++;
	size_t end = in.len;
	while (end > start && is_blank(in.data[end - 1]))
		end--;
	return start < end ? bytes_of(in.data + start, end - start) : BYTES_NONE;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(uint8_t c)
{
	uint8_t l = lower(c);
	return (l >= 'a' && l <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* Checks a name without pattern marks and closing dot, and counts its labels. */
static enum pattern_result name_check(struct bytes name, uint8_t *labels)
{
	if (name.len == 0)
		return PATTERN_BAD_LABEL;
	size_t count = 1, label = 0;
	bool digits = true; /* in the label so far */
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		if (c >= 0x80)
			return PATTERN_NOT_ASCII;
		if (c == ':')
			return PATTERN_ADDRESS;
		if (c == '.') {
			if (label == 0)
				return PATTERN_BAD_LABEL;
			count++;
			label = 0;
			digits = true;
			continue;
		}
		if (!is_name_char(c))
			return PATTERN_BAD_CHARS;
		digits = digits && is_digit(c);
		if (++label > 63)
			return PATTERN_BAD_LABEL;
	}
	if (label == 0)
		return PATTERN_BAD_LABEL;
	if (name.len > NAME_MAX_OCTETS)
		return PATTERN_TOO_LONG;
	/* No top-level domain is all digits: this is an IPv4 address or a slip. */
	if (digits)
		return PATTERN_ADDRESS;
	*labels = (uint8_t)count;
	return PATTERN_OK;
}

static struct bytes without_closing_dot(struct bytes name)
{
	if (name.len > 1 && name.data[name.len - 1] == '.')
		name.len--;
	return name;
}

static enum pattern_result read_line(struct bytes line, enum pattern_kind *kind, struct bytes *out, uint8_t *labels)
{
	line.len = bytes_find(line, '#', 0);
	struct bytes name = trimmed(line);
	if (name.len == 0)
		return PATTERN_EMPTY;
	enum pattern_kind found = PATTERN_EXACT;
	if (bytes_starts(name, bytes_str("*."))) {
		found = PATTERN_BELOW;
		name = bytes_of(name.data + 2, name.len - 2);
	} else if (name.data[0] == '.') {
		found = PATTERN_BOTH;
		name = bytes_of(name.data + 1, name.len - 1);
	}
	name = without_closing_dot(name);
	enum pattern_result result = name_check(name, labels);
	if (result != PATTERN_OK)
		return result;
	*kind = found;
	*out = name;
	return PATTERN_OK;
}

enum pattern_result pattern_read(struct bytes line, enum pattern_kind *kind, struct bytes *out)
{
	uint8_t labels;
	return read_line(line, kind, out, &labels);
}

const char *pattern_result_text(enum pattern_result result)
{
	switch (result) {
	case PATTERN_OK:
		return "is a name";
	case PATTERN_EMPTY:
		return "is empty";
	case PATTERN_BAD_CHARS:
		return "is no DNS name: only letters, digits, hyphens, underscores and dots, and \"*.\" or \".\" in "
		       "front";
	case PATTERN_BAD_LABEL:
		return "has an empty label between its dots, or one over 63 characters";
	case PATTERN_TOO_LONG:
		return "is longer than 253 characters";
	case PATTERN_NOT_ASCII:
		return "is not ASCII: write its A-label form, which begins with xn--";
	case PATTERN_ADDRESS:
		return "is an IP address: match it with `server`";
	}
	return "is wrong";
}

/* The name from one of its labels on. */
static struct bytes suffix(const struct name_key *key, unsigned label)
{
	return bytes_of(key->text + key->starts[label], (size_t)key->len - key->starts[label]);
}

void name_key_set(struct name_key *key, struct bytes name)
{
	/* Not the whole of it: this runs for every connection. */
	key->labels = key->len = 0;
	key->address = false;
	key->text[0] = '\0';
	if (name.len == 0 || name.len > NAME_MAX_OCTETS + 1)
		return;
	name = without_closing_dot(name);
	uint8_t labels;
	enum pattern_result result = name_check(name, &labels);
	key->address = result == PATTERN_ADDRESS;
	if (result != PATTERN_OK)
		return;
	for (size_t i = 0, label = 0; i < name.len; i++) {
		if (i == 0 || name.data[i - 1] == '.')
			key->starts[label++] = (uint8_t)i;
		key->text[i] = (char)lower(name.data[i]);
	}
	key->text[name.len] = '\0';
	key->len = (uint8_t)name.len;
	key->labels = labels;
	for (unsigned i = 0; i < labels; i++)
		key->hashes[i] = hash_bytes(suffix(key, i));
}

/* The line that begins at `offset`, without its newline. */
static struct bytes line_at(struct bytes text, size_t offset)
{
	return bytes_of(text.data + offset, bytes_find(text, '\n', offset) - offset);
}

static uint32_t slot_first(const struct names *names, uint64_t hash)
{
	/* Spreads 32 bits over any number of slots without a division. */
	return (uint32_t)(((hash & UINT32_MAX) * names->slot_count) >> 32);
}

static uint32_t slot_next(const struct names *names, uint32_t at)
{
	return at + 1 < names->slot_count ? at + 1 : 0;
}

/* The slot of a pattern with this name and one of these kinds (1 << kind), or the free slot where the search ended. */
static struct slot *slot_find(const struct names *names, struct bytes name, uint64_t hash, unsigned kinds)
{
	uint32_t at = slot_first(names, hash);
	for (;; at = slot_next(names, at)) {
		struct slot *slot = &names->slots[at];
		if (slot->line == 0)
			return slot;
		if (slot->tag != (uint32_t)(hash >> 32))
			continue;
		enum pattern_kind kind;
		struct bytes stands;
		uint8_t labels;
		if (read_line(line_at(names->text, slot->line - 1), &kind, &stands, &labels) != PATTERN_OK)
			continue;
		if ((kinds >> kind & 1) && bytes_equal_nocase(stands, name))
			return slot;
	}
}

static void insert(struct names *names, size_t offset, enum pattern_kind kind, struct bytes name, uint8_t labels)
{
	char folded[NAME_MAX_OCTETS + 1];
	for (size_t i = 0; i < name.len; i++)
		folded[i] = (char)lower(name.data[i]);
	uint64_t hash = hash_bytes(bytes_of(folded, name.len));
	struct slot *slot = slot_find(names, name, hash, 1U << kind);
	if (slot->line != 0) {
		names->counts.duplicates++;
		return;
	}
	*slot = (struct slot){.tag = (uint32_t)(hash >> 32), .line = (uint32_t)offset + 1};
	names->counts.names++;
	if (labels < names->fewest)
		names->fewest = labels;
	if (labels > names->most)
		names->most = labels;
}

/* Checks every line, then, once there are slots, enters them. */
static bool each_line(struct names *names, const char *label, size_t *count, struct error *err)
{
	size_t number = 0;
	for (size_t offset = 0; offset < names->text.len; number++) {
		struct bytes line = line_at(names->text, offset);
		enum pattern_kind kind;
		struct bytes name;
		uint8_t labels;
		enum pattern_result result = read_line(line, &kind, &name, &labels);
		if (result == PATTERN_OK) {
			if (names->slots)
				insert(names, offset, kind, name, labels);
			++*count;
		} else if (result != PATTERN_EMPTY) {
			struct bytes shown = trimmed(line);
			int width = shown.len > 80 ? 80 : (int)shown.len;
			return error_set(err, "%s:%zu: \"%.*s\" %s", label, number + 1, width, (const char *)shown.data,
				pattern_result_text(result));
		}
		offset += line.len + 1;
	}
	return true;
}

struct names *names_new(struct bytes text, const char *label, struct error *err)
{
	if (text.len > NAMES_MAX_OCTETS) {
		error_set(err, "%s: more than %u MiB", label, NAMES_MAX_OCTETS >> 20);
		return NULL;
	}
	struct names *names = calloc(1, sizeof(*names));
	if (!names) {
		error_set(err, "%s: no memory", label);
		return NULL;
	}
	*names = (struct names){.text = text, .fewest = UINT8_MAX};
	size_t count = 0;
	if (!each_line(names, label, &count, err)) {
		names_free(names);
		return NULL;
	}
	if (count > NAMES_MAX) {
		error_set(err, "%s: %zu names, more than %u", label, count, NAMES_MAX);
		names_free(names);
		return NULL;
	}
	names->slot_count = (uint32_t)(count + count / 2 + 2);
	names->slots = calloc(names->slot_count, sizeof(struct slot));
	if (!names->slots) {
		error_set(err, "%s: no memory", label);
		names_free(names);
		return NULL;
	}
	count = 0;
	if (!each_line(names, label, &count, err)) {
		names_free(names);
		return NULL;
	}
	names->counts.octets = sizeof(*names) + names->slot_count * sizeof(struct slot);
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	free(names->slots);
	free(names);
}

bool names_find(const struct names *names, const struct name_key *key, struct bytes *out)
{
	for (unsigned i = 0; i < key->labels && key->labels - i >= names->fewest; i++) {
		if (key->labels - i > names->most)
			continue;
		unsigned kinds = 1U << PATTERN_BOTH | 1U << (i == 0 ? PATTERN_EXACT : PATTERN_BELOW);
		const struct slot *slot = slot_find(names, suffix(key, i), key->hashes[i], kinds);
		if (slot->line == 0)
			continue;
		if (out)
			*out = trimmed(line_at(names->text, slot->line - 1));
		return true;
	}
	return false;
}

bool names_has(const struct names *names, const struct name_key *key)
{
	return names_find(names, key, NULL);
}

struct names_counts names_count(const struct names *names)
{
	return names->counts;
}
