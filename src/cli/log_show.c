#include "cli/log_parts.h"

#include "audit/opened.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* overt log show: lines for people, or JSON, with commitments opened where that can still be done. */

#define SHORT_COMMITMENT 8 /* digits of one that nobody can open any more: enough to tell two of a page apart */

struct shower {
	const struct log_wish *wish;
	struct audit_opened *opened; /* NULL: none are wanted */
	bool kinds[AUDIT_KINDS];
	size_t shown, passed_over;
};

/* The members of a line that decide whether it is shown. */
struct outline {
	struct bytes time, kind, consent;
	struct bytes fields; /* what follows the kind */
};

static bool outline_of(struct bytes line, struct outline *outline)
{
	struct audit_member member;
	*outline = (struct outline){0};
	if (!audit_line_open(&line))
		return false;
	while (audit_line_next(&line, &member)) {
		if (bytes_equal(member.key, bytes_str("time")))
			outline->time = member.value;
		if (bytes_equal(member.key, bytes_str("consent")))
			outline->consent = member.value;
		if (!bytes_equal(member.key, bytes_str("kind")))
			continue;
		outline->kind = member.value;
		outline->fields = line;
	}
	return line.len == 0 && outline->kind.data && outline->time.data;
}

static bool wanted(const struct shower *shower, const struct outline *outline)
{
	const struct log_wish *wish = shower->wish;
	enum audit_kind kind = audit_kind_named(outline->kind);
	/* Times of one form in UTC stand in the order of their texts. */
	if (wish->since && bytes_compare(outline->time, bytes_str(wish->since)) < 0)
		return false;
	if (wish->before && bytes_compare(outline->time, bytes_str(wish->before)) >= 0)
		return false;
	if (wish->unilateral && !bytes_equal(outline->consent, bytes_str("unilateral")))
		return false;
	return !wish->kind || (kind < AUDIT_KINDS && shower->kinds[kind]);
}

/* What the member commits to, if it is a commitment and an opening is kept. */
static bool is_commitment(const struct outline *outline, const struct audit_member *member)
{
	enum audit_type type;
	return audit_field_type(audit_kind_named(outline->kind), member->key, &type) && type == AUDIT_COMMIT &&
	       !member->number;
}

static bool open_commitment(const struct shower *shower, const struct audit_member *member, struct bytes *value)
{
	return shower->opened && audit_opened_find(shower->opened, member->value, value);
}

static void put(struct bytes text)
{
	fwrite(text.data, 1, text.len, stdout);
}

/* Text in the log was cleaned when it was written, but a log may come from anywhere. */
static void put_clean(struct bytes text)
{
	static char clean[AUDIT_TEXT_MAX * 4 + 1];
	put(bytes_of(clean, text_clean(clean, sizeof(clean), text)));
}

static void put_value(const struct audit_member *member)
{
	char plain[AUDIT_TEXT_MAX * 2];
	struct bytes text = bytes_of(plain, audit_json_plain(member->value, plain, sizeof(plain)));
	bool quoted = text.len == 0 || bytes_find(text, ' ', 0) < text.len || bytes_find(text, '"', 0) < text.len;
	if (quoted)
		putchar('"');
	put_clean(quoted ? member->value : text);
	if (quoted)
		putchar('"');
}

static void show_text(const struct shower *shower, const struct outline *outline, uint64_t seq)
{
	struct bytes fields = outline->fields;
	struct audit_member member;
	printf("%8llu  ", (unsigned long long)seq);
	put_clean(outline->time);
	printf("  %-9.*s", (int)outline->kind.len, (const char *)outline->kind.data);
	while (audit_line_next(&fields, &member)) {
		struct bytes value;
		putchar(' ');
		put_clean(member.key);
		putchar('=');
		if (!is_commitment(outline, &member)) {
			put_value(&member);
		} else if (open_commitment(shower, &member, &value)) {
			put_clean(value);
		} else if (shower->wish->closed) {
			put_clean(member.value);
		} else {
			putchar('#');
			put_clean(bytes_of(member.value.data,
				member.value.len < SHORT_COMMITMENT ? member.value.len : SHORT_COMMITMENT));
		}
	}
	putchar('\n');
}

/* The line as it is, and a member `opened` of what its commitments are to. */
static void show_json(const struct shower *shower, const struct outline *outline, struct bytes line)
{
	struct bytes fields = outline->fields;
	struct audit_member member;
	bool any = false;
	put(bytes_of(line.data, line.len - 1));
	while (audit_line_next(&fields, &member)) {
		struct bytes value;
		char room[AUDIT_TEXT_MAX * 2];
		struct writer w = writer_over(room, sizeof(room));
		if (!is_commitment(outline, &member) || !open_commitment(shower, &member, &value))
			continue;
		audit_json_text(&w, value);
		fputs(any ? "," : ",\"opened\":{", stdout);
		any = true;
		putchar('"');
		put(member.key);
		fputs("\":\"", stdout);
		put(bytes_of(room, w.len));
		putchar('"');
	}
	puts(any ? "}}" : "}");
}

static void take_line(struct shower *shower, struct bytes line)
{
	struct outline outline;
	uint64_t seq;
	if (!audit_line_seq(line, &seq) || !outline_of(line, &outline)) {
		shower->passed_over++;
		return;
	}
	if (!wanted(shower, &outline))
		return;
	shower->shown++;
	if (shower->wish->json)
		show_json(shower, &outline, line);
	else
		show_text(shower, &outline, seq);
}

static bool read_kinds(struct shower *shower, struct error *err)
{
	struct bytes rest = bytes_str(shower->wish->kind ? shower->wish->kind : "");
	while (rest.len > 0) {
		struct bytes name;
		if (!bytes_take(&rest, bytes_find(rest, ',', 0), &name))
			return false;
		(void)!bytes_skip(&rest, 1);
		enum audit_kind kind = audit_kind_named(name);
		if (kind < AUDIT_KINDS) {
			shower->kinds[kind] = true;
			continue;
		}
		char all[400] = "";
		size_t len = 0;
		for (unsigned i = 0; i < AUDIT_KINDS && len < sizeof(all); i++)
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
				audit_kind_name((enum audit_kind)i));
		return error_set(err, "--kind: there is no kind %.*s; there are %s", (int)name.len,
			(const char *)name.data, all);
	}
	return true;
}

/* A date, perhaps with a time: digits and the marks between them. */
static bool time_good(const char *text)
{
	return !text || (strspn(text, "0123456789-T:.Z") == strlen(text) && strlen(text) >= 4);
}

static bool load_openings(struct shower *shower, struct error *err)
{
	char copy[AUDIT_PATH_MAX];
	char folder[AUDIT_PATH_MAX + 16];
	if (shower->wish->closed)
		return true;
	snprintf(copy, sizeof(copy), "%s", shower->wish->path);
	snprintf(folder, sizeof(folder), "%s/openings", dirname(copy));
	shower->opened = audit_opened_load(folder, err);
	return shower->opened != NULL;
}

static bool show_file(struct shower *shower, struct error *err)
{
	FILE *file = fopen(shower->wish->path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	if (!file)
		return error_set_errno(err, "cannot read %s", shower->wish->path);
	while ((len = getline(&line, &cap, file)) > 0) {
		/* Without its LF it is being written, or torn. */
		if (line[len - 1] == '\n')
			take_line(shower, bytes_of(line, (size_t)len - 1));
	}
	bool good = !ferror(file) || error_set_errno(err, "cannot read %s", shower->wish->path);
	free(line);
	fclose(file);
	return good && ((fflush(stdout) == 0) || error_set_errno(err, "cannot write to standard output"));
}

int log_show(struct log_wish *wish)
{
	struct error err;
	struct shower shower = {.wish = wish};
	if (!read_kinds(&shower, &err))
		return complain("log", &err, EXIT_MISUSE);
	if (!time_good(wish->since) || !time_good(wish->before)) {
		error_set(&err, "--since and --before: a time looks like 2026-11-21 or 2026-11-21T10:00:00Z");
		return complain("log", &err, EXIT_MISUSE);
	}
	bool good = load_openings(&shower, &err) && show_file(&shower, &err);
	audit_opened_free(shower.opened);
	if (!good)
		return complain("log", &err, 1);
	if (shower.passed_over > 0)
		fprintf(stderr, "overt log: %zu lines are not in the form of entries: overt log verify tells more\n",
			shower.passed_over);
	if (shower.shown == 0 && !wish->json)
		puts(wish->unilateral ? "Nothing that one side alone consented to." : "No such entries.");
	return 0;
}
