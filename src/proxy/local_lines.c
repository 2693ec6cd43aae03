#include "proxy/local_lines.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

void local_lines_text(struct writer *w, const char *text)
{
	writer_bytes(w, bytes_str(text));
	writer_u8(w, '\t');
}

void local_lines_number(struct writer *w, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, number);
	local_lines_text(w, text);
}

void local_lines_end(struct writer *w)
{
	writer_u8(w, '\n');
}

bool local_lines_next(struct bytes *text, struct bytes *line)
{
	size_t end = bytes_find(*text, '\n', 0);
	return end < text->len && bytes_take(text, end, line) && bytes_skip(text, 1);
}

static bool take(struct bytes *line, struct bytes *out)
{
	size_t end = bytes_find(*line, '\t', 0);
	return end < line->len && bytes_take(line, end, out) && bytes_skip(line, 1);
}

bool local_lines_take_text(struct bytes *line, char *out, size_t cap)
{
	struct bytes field;
	if (!take(line, &field) || field.len >= cap)
		return false;
	/* What was clean when it was written stays as it is; what somebody else wrote is not to become markup or worse. */
	(void)text_clean(out, cap, field);
	return true;
}

bool local_lines_take_number(struct bytes *line, uint64_t max, uint64_t *out)
{
	struct bytes field;
	return take(line, &field) && text_number(field, max, out);
}
