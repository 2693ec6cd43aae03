#include "pki/der.h"

#include <time.h>

bool der_any(struct bytes *in, uint8_t *tag, struct bytes *content)
{
	struct bytes rest = *in;
	uint8_t t;
	uint8_t first;
	if (!bytes_u8(&rest, &t) || (t & 0x1f) == 0x1f || !bytes_u8(&rest, &first))
		return false;
	uint32_t len = first;
	uint8_t octet;
	uint16_t two;
	if (first == 0x81) {
		if (!bytes_u8(&rest, &octet) || octet < 0x80)
			return false;
		len = octet;
	} else if (first == 0x82) {
		if (!bytes_u16(&rest, &two) || two < 0x100)
			return false;
		len = two;
	} else if (first == 0x83) {
		if (!bytes_u24(&rest, &len) || len < 0x10000)
			return false;
	} else if (first >= 0x80) {
		/* Indefinite, or longer than any certificate. */
		return false;
	}
	struct bytes found;
	if (!bytes_take(&rest, len, &found))
		return false;
	*tag = t;
	*content = found;
	*in = rest;
	return true;
}

bool der_take(struct bytes *in, uint8_t tag, struct bytes *content)
{
	struct bytes rest = *in;
	struct bytes found;
	uint8_t got;
	if (!der_any(&rest, &got, &found) || got != tag)
		return false;
	*content = found;
	*in = rest;
	return true;
}

bool der_whole(struct bytes *in, uint8_t tag, struct bytes *element)
{
	struct bytes before = *in;
	struct bytes content;
	if (!der_take(in, tag, &content))
		return false;
	*element = bytes_of(before.data, before.len - in->len);
	return true;
}

bool der_skip_optional(struct bytes *in, uint8_t tag)
{
	if (in->len == 0 || in->data[0] != tag)
		return true;
	struct bytes content;
	return der_take(in, tag, &content);
}

static bool two_digits(struct bytes *in, int *out)
{
	uint8_t a;
	uint8_t b;
	if (!bytes_u8(in, &a) || !bytes_u8(in, &b) || a < '0' || a > '9' || b < '0' || b > '9')
		return false;
	*out = (a - '0') * 10 + (b - '0');
	return true;
}

bool der_take_time(struct bytes *in, int64_t *out_s)
{
	struct bytes rest = *in;
	struct bytes text;
	uint8_t tag;
	if (!der_any(&rest, &tag, &text) || (tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME))
		return false;
	int century = 0;
	int part[6];
	if (tag == DER_GENERALIZED_TIME && !two_digits(&text, &century))
		return false;
	for (int i = 0; i < 6; i++) {
		if (!two_digits(&text, &part[i]))
			return false;
	}
	uint8_t zulu;
	if (!bytes_u8(&text, &zulu) || zulu != 'Z' || text.len != 0)
		return false;
	if (tag == DER_UTC_TIME)
		century = part[0] < 50 ? 20 : 19;
	struct tm tm = {.tm_year = century * 100 + part[0] - 1900,
		.tm_mon = part[1] - 1,
		.tm_mday = part[2],
		.tm_hour = part[3],
		.tm_min = part[4],
		.tm_sec = part[5]};
	struct tm given = tm;
	time_t at = timegm(&tm);
	/* timegm carries a 31st of June over into July: such a date was none. */
	if (tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour ||
		tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec)
		return false;
	*out_s = at;
	*in = rest;
	return true;
}

bool der_take_bool(struct bytes *in, bool *out)
{
	struct bytes rest = *in;
	struct bytes content;
	uint8_t value;
	if (!der_take(&rest, DER_BOOLEAN, &content) || content.len != 1 || !bytes_u8(&content, &value) ||
		(value != 0 && value != 0xff))
		return false;
	*out = value != 0;
	*in = rest;
	return true;
}

size_t der_open(struct writer *w, uint8_t tag)
{
	writer_u8(w, tag);
	return writer_open(w, 1);
}

void der_close(struct writer *w, size_t mark)
{
	if (w->full)
		return;
	size_t len = w->len - mark;
	if (len < 0x80) {
		writer_close(w, mark, 1);
		return;
	}
	unsigned more = len > 0xffff ? 3 : len > 0xff ? 2 : 1;
	static const uint8_t none[3];
	writer_bytes(w, bytes_of(none, more));
	if (w->full)
		return;
	memmove(w->data + mark + more, w->data + mark, len);
	w->data[mark - 1] = (uint8_t)(0x80 | more);
	for (unsigned i = 0; i < more; i++)
		w->data[mark + i] = (uint8_t)(len >> 8 * (more - 1 - i));
}

void der_put(struct writer *w, uint8_t tag, struct bytes content)
{
	size_t mark = der_open(w, tag);
	writer_bytes(w, content);
	der_close(w, mark);
}

void der_put_unsigned(struct writer *w, struct bytes value)
{
	while (value.len > 1 && value.data[0] == 0)
		value = bytes_of(value.data + 1, value.len - 1);
	size_t mark = der_open(w, DER_INTEGER);
	if (value.len == 0 || value.data[0] >= 0x80)
		writer_u8(w, 0);
	writer_bytes(w, value);
	der_close(w, mark);
}

static void put_two_digits(struct writer *w, int value)
{
	writer_u8(w, (uint8_t)('0' + value / 10 % 10));
	writer_u8(w, (uint8_t)('0' + value % 10));
}

void der_put_time(struct writer *w, int64_t at_s)
{
	time_t at = (time_t)at_s;
	struct tm tm;
	if (!gmtime_r(&at, &tm) || tm.tm_year < 50 || tm.tm_year > 9999 - 1900) {
		w->full = true;
		return;
	}
	int year = tm.tm_year + 1900;
	size_t mark = der_open(w, year < 2050 ? DER_UTC_TIME : DER_GENERALIZED_TIME);
	if (year >= 2050)
		put_two_digits(w, year / 100);
	put_two_digits(w, year % 100);
	put_two_digits(w, tm.tm_mon + 1);
	put_two_digits(w, tm.tm_mday);
	put_two_digits(w, tm.tm_hour);
	put_two_digits(w, tm.tm_min);
	put_two_digits(w, tm.tm_sec);
	writer_u8(w, 'Z');
	der_close(w, mark);
}

void der_put_bool(struct writer *w, bool value)
{
	uint8_t octet = value ? 0xff : 0;
	der_put(w, DER_BOOLEAN, bytes_of(&octet, 1));
}

void der_put_bits(struct writer *w, struct bytes value)
{
	size_t mark = der_open(w, DER_BIT_STRING);
	writer_u8(w, 0);
	writer_bytes(w, value);
	der_close(w, mark);
}
