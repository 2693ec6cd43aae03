#include "audit/line.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static void put(struct writer *w, const char *text)
{
	writer_bytes(w, bytes_str(text));
}

void audit_json_text(struct writer *w, struct bytes clean)
{
	for (size_t i = 0; i < clean.len; i++) {
		if (clean.data[i] == '"' || clean.data[i] == '\\')
			writer_u8(w, '\\');
		writer_u8(w, clean.data[i]);
	}
}

size_t audit_json_plain(struct bytes escaped, char *out, size_t cap)
{
	size_t len = 0;
	for (size_t i = 0; i < escaped.len && len < cap; i++) {
		if (escaped.data[i] == '\\' && i + 1 < escaped.len)
			i++;
		out[len++] = (char)escaped.data[i];
	}
	return len;
}

static void put_opening(struct writer *w, uint64_t seq, uint64_t wall_ns, enum audit_kind kind)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm utc = {0};
	gmtime_r(&seconds, &utc);
	char date[32];
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	char text[160];
	snprintf(text, sizeof(text), "{\"seq\":%" PRIu64 ",\"time\":\"%s.%03uZ\",\"kind\":\"%s\"", seq, date,
		(unsigned)(wall_ns / NS_PER_MS % 1000), audit_kind_name(kind));
	put(w, text);
}

static void put_field(struct writer *w, const struct audit_field *field, const uint8_t *commitment)
{
	put(w, ",\"");
	put(w, field->key);
	if (field->type == AUDIT_NUMBER) {
		char number[32];
		snprintf(number, sizeof(number), "\":%" PRIu64, field->number);
		put(w, number);
		return;
	}
	put(w, "\":\"");
	if (field->type == AUDIT_COMMIT) {
		char hex[2 * AUDIT_COMMIT_LEN + 1];
		text_hex(hex, sizeof(hex), bytes_of(commitment, AUDIT_COMMIT_LEN));
		put(w, hex);
	} else {
		char clean[AUDIT_TEXT_MAX];
		size_t len = text_clean(clean, sizeof(clean), field->text);
		audit_json_text(w, bytes_of(clean, len));
	}
	put(w, "\"");
}

bool audit_line_write(struct writer *w, const struct audit_entry *entry, const uint8_t commitments[][AUDIT_COMMIT_LEN],
	uint64_t wall_ns, uint64_t seq)
{
	size_t commits = 0;
	put_opening(w, seq, wall_ns, entry->kind);
	for (size_t i = 0; i < entry->count; i++) {
		const uint8_t *commitment = NULL;
		if (entry->fields[i].type == AUDIT_COMMIT)
			commitment = commitments[commits++];
		put_field(w, &entry->fields[i], commitment);
	}
	put(w, "}\n");
	return !w->full;
}

static bool take_text(struct bytes *in, const char *text)
{
	return bytes_starts(*in, bytes_str(text)) && bytes_skip(in, strlen(text));
}

bool audit_line_open(struct bytes *line)
{
	struct bytes rest = *line;
	if (!take_text(&rest, "{"))
		return false;
	*line = rest;
	return true;
}

/* The octets before the string's closing quote. */
static bool take_string(struct bytes *in, struct bytes *out)
{
	size_t end = 0;
	while (end < in->len && in->data[end] != '"')
		end += in->data[end] == '\\' ? 2 : 1;
	return end < in->len && bytes_take(in, end, out) && bytes_skip(in, 1);
}

static size_t digits(struct bytes in)
{
	size_t count = 0;
	while (count < in.len && in.data[count] >= '0' && in.data[count] <= '9')
		count++;
	return count;
}

bool audit_line_next(struct bytes *line, struct audit_member *member)
{
	struct bytes rest = *line;
	struct audit_member read = {0};
	if (!take_text(&rest, "\"") || !take_string(&rest, &read.key) || !take_text(&rest, ":"))
		return false;
	read.number = !take_text(&rest, "\"");
	if (read.number ? !digits(rest) || !bytes_take(&rest, digits(rest), &read.value)
			: !take_string(&rest, &read.value))
		return false;
	/* A comma, or the end of the line. */
	if (!take_text(&rest, ",") && !(take_text(&rest, "}") && rest.len == 0))
		return false;
	*line = rest;
	*member = read;
	return true;
}

bool audit_line_seq(struct bytes line, uint64_t *seq)
{
	struct audit_member member;
	/* A number has one form only, else two lines would be the same to people. */
	return line.len < AUDIT_LINE_MAX && line.len > 0 && line.data[line.len - 1] == '}' && audit_line_open(&line) &&
	       audit_line_next(&line, &member) && member.number && bytes_equal(member.key, bytes_str("seq")) &&
	       member.value.data[0] != '0' && text_number(member.value, UINT64_MAX, seq);
}
