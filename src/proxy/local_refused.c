#include "proxy/local_refused.h"

#include "accord/body.h"
#include "base/text.h"
#include "pki/name.h"
#include "proxy/local_lines.h"

#include <stdio.h>
#include <string.h>

static const char *const names[REFUSED_KINDS] = {
	[REFUSED_PROXY] = "proxy", [REFUSED_ROLE] = "role", [REFUSED_SITE] = "site"};

const char *refused_kind_name(enum refused_kind kind)
{
	return names[kind];
}

bool refused_kind_find(struct bytes name, enum refused_kind *out)
{
	for (int i = 0; i < REFUSED_KINDS; i++) {
		if (bytes_equal(name, bytes_str(names[i]))) {
			*out = (enum refused_kind)i;
			return true;
		}
	}
	return false;
}

/* A pin: no host name, since a label has 63 octets at most. */
static bool is_pin(struct bytes what)
{
	uint8_t pin[32];
	size_t len;
	return what.len == BOOK_PIN - 1 && text_unhex(pin, sizeof(pin), &len, what);
}

/* The one form in which it is compared. */
static bool settle(enum refused_kind kind, struct bytes what, char out[BOOK_NAME], struct error *err)
{
	struct subject_name name;
	if (kind == REFUSED_ROLE) {
		bool writer = bytes_equal(what, bytes_str("writer"));
		snprintf(out, BOOK_NAME, "%s", writer ? "writer" : "reader");
		return writer || bytes_equal(what, bytes_str("reader")) || error_set(err, "a role is reader or writer");
	}
	if (kind == REFUSED_PROXY && is_pin(what)) {
		(void)text_clean(out, BOOK_NAME, what);
		return true;
	}
	enum name_result result = subject_name_parse(what, &name);
	if (result != NAME_OK)
		return error_set(err, "what is to be refused %s", name_result_text(result));
	snprintf(out, BOOK_NAME, "%s", name.text);
	return true;
}

static size_t find(const struct refused *refused, enum refused_kind kind, const char *what)
{
	size_t i = 0;
	while (i < refused->count && (refused->item[i].kind != kind || strcmp(refused->item[i].what, what) != 0))
		i++;
	return i;
}

bool refused_add(struct refused *refused, enum refused_kind kind, struct bytes what, int64_t now_s,
	struct refused_item *item, struct error *err)
{
	struct refused_item fresh = {.kind = kind, .since_s = now_s};
	if (!settle(kind, what, fresh.what, err))
		return false;
	size_t at = find(refused, kind, fresh.what);
	if (at == REFUSED_MAX) {
		refused->full++;
		return error_set(err, "%d things are refused, which is the most; take one back first", REFUSED_MAX);
	}
	if (at == refused->count)
		refused->item[refused->count++] = fresh;
	if (item)
		*item = refused->item[at];
	return true;
}

bool refused_remove(struct refused *refused, enum refused_kind kind, struct bytes what)
{
	char text[BOOK_NAME];
	if (!settle(kind, what, text, NULL))
		return false;
	size_t at = find(refused, kind, text);
	if (at == refused->count)
		return false;
	refused->count--;
	memmove(&refused->item[at], &refused->item[at + 1], (refused->count - at) * sizeof(refused->item[0]));
	return true;
}

bool refused_has(const struct refused *refused, enum refused_kind kind, const char *what)
{
	return find(refused, kind, what) < refused->count;
}

uint8_t refused_roles_left(const struct refused *refused, uint8_t roles, const char *site)
{
	if (refused_has(refused, REFUSED_SITE, site))
		return 0;
	if (refused_has(refused, REFUSED_ROLE, "reader"))
		roles &= (uint8_t)~ACCORD_READER;
	if (refused_has(refused, REFUSED_ROLE, "writer"))
		roles &= (uint8_t)~ACCORD_WRITER;
	return roles;
}

bool refused_concerns(const struct refused *refused, const struct book_entry *what, struct error *why)
{
	if (what->kind == BOOK_NOBODY || what->kind == BOOK_REFUSED)
		return false;
	if (refused_has(refused, REFUSED_SITE, what->site)) {
		error_set(why, "you decided that nobody may read %s", what->site);
		return true;
	}
	for (size_t i = 0; i < what->readers; i++) {
		const struct book_reader *reader = &what->reader[i];
		const char *role = accord_role_name(reader->role);
		if (refused_has(refused, REFUSED_PROXY, book_reader_key(reader))) {
			error_set(why, "you refuse the proxy %s", book_reader_key(reader));
			return true;
		}
		if (role && refused_has(refused, REFUSED_ROLE, role)) {
			error_set(why, "you refuse every %s, and %s is one", role, book_reader_key(reader));
			return true;
		}
	}
	return false;
}

void refused_write(const struct refused *refused, struct writer *w)
{
	for (size_t i = 0; i < refused->count; i++) {
		const struct refused_item *item = &refused->item[i];
		local_lines_text(w, names[item->kind]);
		local_lines_text(w, item->what);
		local_lines_number(w, (uint64_t)item->since_s);
		local_lines_end(w);
	}
}

size_t refused_read(struct refused *refused, struct bytes text)
{
	struct bytes line;
	size_t bad = 0;
	while (local_lines_next(&text, &line)) {
		char word[16], what[BOOK_NAME];
		uint64_t since;
		enum refused_kind kind;
		bool ok = local_lines_take_text(&line, word, sizeof(word)) &&
		          refused_kind_find(bytes_str(word), &kind) &&
		          local_lines_take_text(&line, what, sizeof(what)) &&
		          local_lines_take_number(&line, INT64_MAX, &since) &&
		          refused_add(refused, kind, bytes_str(what), (int64_t)since, NULL, NULL);
		bad += !ok;
	}
	return bad;
}
