#include "assess/json.h"

#include "base/text.h"

static void blanks(struct bytes *in)
{
	uint8_t octet;
	while (in->len > 0 && (in->data[0] == ' ' || in->data[0] == '\t' || in->data[0] == '\r' || in->data[0] == '\n'))
		(void)!bytes_u8(in, &octet);
}

static bool take(struct bytes *in, uint8_t wanted)
{
	blanks(in);
	return in->len > 0 && in->data[0] == wanted && bytes_skip(in, 1);
}

static bool skip_string(struct bytes *in)
{
	uint8_t octet;
	if (!take(in, '"'))
		return false;
	while (bytes_u8(in, &octet)) {
		if (octet == '"')
			return true;
		if (octet == '\\' && !bytes_skip(in, 1))
			return false;
	}
	return false;
}

/* Numbers, true, false and null: what they say is judged by who reads them. */
static bool skip_plain(struct bytes *in)
{
	static const struct bytes ends = {(const uint8_t *)",]} \t\r\n", 7};
	size_t n = 0;
	while (n < in->len && bytes_find(ends, in->data[n], 0) == ends.len)
		n++;
	return n > 0 && bytes_skip(in, n);
}

/* Strings and brackets are followed, brackets of one kind by those of the same; the rest is taken as it comes. */
static bool skip_nested(struct bytes *in)
{
	uint8_t open[JSON_DEPTH];
	size_t depth = 0;
	do {
		blanks(in);
		if (in->len == 0)
			return false;
		uint8_t octet = in->data[0];
		if (octet == '"') {
			if (!skip_string(in))
				return false;
			continue;
		}
		if (octet == '{' || octet == '[') {
			if (depth == JSON_DEPTH)
				return false;
			open[depth++] = octet == '{' ? '}' : ']';
		} else if ((octet == '}' || octet == ']') && (depth == 0 || open[--depth] != octet)) {
			return false;
		}
		if (!bytes_skip(in, 1))
			return false;
	} while (depth > 0);
	return true;
}

static bool skip_value(struct bytes *in, struct bytes *value)
{
	blanks(in);
	struct bytes start = *in;
	if (in->len == 0)
		return false;
	bool ok = in->data[0] == '"'                         ? skip_string(in)
	          : in->data[0] == '{' || in->data[0] == '[' ? skip_nested(in)
	                                                     : skip_plain(in);
	*value = bytes_of(start.data, start.len - in->len);
	return ok;
}

bool json_member(struct bytes object, const char *key, struct bytes *value)
{
	struct bytes name, found;
	char text[64];
	if (!take(&object, '{') || take(&object, '}'))
		return false;
	do {
		if (!skip_value(&object, &name) || !take(&object, ':') || !skip_value(&object, &found))
			return false;
		if (json_text(name, text, sizeof(text)) && strcmp(text, key) == 0) {
			*value = found;
			return true;
		}
	} while (take(&object, ','));
	return false;
}

bool json_array(struct bytes value, struct bytes *rest)
{
	if (!take(&value, '['))
		return false;
	*rest = value;
	return true;
}

bool json_next(struct bytes *rest, struct bytes *value)
{
	struct bytes in = *rest;
	(void)take(&in, ',');
	blanks(&in);
	if (in.len == 0 || in.data[0] == ']' || !skip_value(&in, value))
		return false;
	*rest = in;
	return true;
}

/* One code point up to U+FFFF as UTF-8. Surrogates stand as U+FFFD: nothing that we read needs them. */
static void put_code(struct writer *out, unsigned code)
{
	if (code >= 0xd800 && code <= 0xdfff)
		code = 0xfffd;
	if (code < 0x80) {
		writer_u8(out, (uint8_t)code);
	} else if (code < 0x800) {
		writer_u8(out, (uint8_t)(0xc0 | code >> 6));
		writer_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
	} else {
		writer_u8(out, (uint8_t)(0xe0 | code >> 12));
		writer_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
		writer_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
	}
}

static bool read_escape(struct bytes *in, struct writer *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	struct bytes digits;
	uint8_t octet, pair[2];
	size_t len;
	if (!bytes_u8(in, &octet))
		return false;
	const char *at = octet ? strchr(from, octet) : NULL;
	if (at)
		writer_u8(out, (uint8_t)to[at - from]);
	else if (octet == 'u' && bytes_take(in, 4, &digits) && text_unhex(pair, sizeof(pair), &len, digits))
		put_code(out, (unsigned)pair[0] << 8 | pair[1]);
	else
		return false;
	return true;
}

bool json_text(struct bytes value, char *out, size_t cap)
{
	struct writer writer = writer_over(out, cap);
	uint8_t octet;
	if (!take(&value, '"'))
		return false;
	while (bytes_u8(&value, &octet) && octet != '"') {
		if (octet != '\\')
			writer_u8(&writer, octet);
		else if (!read_escape(&value, &writer))
			return false;
	}
	writer_u8(&writer, 0);
	return !writer.full && memchr(out, 0, cap) == out + writer.len - 1;
}

bool json_number(struct bytes value, uint64_t max, uint64_t *out)
{
	return text_number(value, max, out);
}

bool json_hex(struct bytes value, uint8_t *out, size_t len)
{
	size_t got = 0;
	if (value.len < 2 || value.data[0] != '"' || value.data[value.len - 1] != '"')
		return false;
	return text_unhex(out, len, &got, bytes_of(value.data + 1, value.len - 2)) && got == len;
}
