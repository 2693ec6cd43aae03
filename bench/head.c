#include "head.h"

#include "base/text.h"

/* Takes one line without its line end. False when there is no whole line. */
static bool take_line(struct bytes *in, struct bytes *line)
{
	struct bytes rest = *in;
	size_t end = bytes_find(rest, '\n', 0);
	if (end == rest.len || !bytes_take(&rest, end, line) || !bytes_skip(&rest, 1))
		return false;
	if (line->len > 0 && line->data[line->len - 1] == '\r')
		line->len--;
	*in = rest;
	return true;
}

/* Up to the separator, which is skipped; all of it when there is none. */
static struct bytes take_until(struct bytes *in, uint8_t separator)
{
	struct bytes word;
	if (!bytes_take(in, bytes_find(*in, separator, 0), &word))
		return BYTES_NONE;
	if (!bytes_skip(in, 1))
		*in = BYTES_NONE;
	return word;
}

static bool read_field(struct bytes line, struct head *out)
{
	struct bytes name = take_until(&line, ':');
	if (!bytes_equal_nocase(name, bytes_str("content-length")))
		return true;
	while (bytes_starts(line, bytes_str(" ")) && bytes_skip(&line, 1))
		;
	return text_number(line, UINT64_MAX, &out->content_length);
}

enum head_result head_read(struct bytes *in, struct head *out)
{
	struct bytes rest = *in;
	struct bytes line;
	struct head head = {0};
	if (!take_line(&rest, &line))
		return HEAD_NEED_MORE;
	head.words[0] = take_until(&line, ' ');
	head.words[1] = take_until(&line, ' ');
	head.words[2] = line;
	if (head.words[0].len == 0 || head.words[1].len == 0)
		return HEAD_BROKEN;
	for (;;) {
		if (!take_line(&rest, &line))
			return HEAD_NEED_MORE;
		if (line.len == 0)
			break;
		if (!read_field(line, &head))
			return HEAD_BROKEN;
	}
	*out = head;
	*in = rest;
	return HEAD_OK;
}
