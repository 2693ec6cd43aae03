#include "base/text.h"

#include <stdio.h>

size_t text_character(struct bytes in, uint32_t *point)
{
	uint8_t first = in.data[0];
	size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
	if (n == 0 || in.len < n)
		return 0;
	uint32_t v = n == 1 ? first : first & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((in.data[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (in.data[i] & 0x3f);
	}
	bool overlong = (n == 3 && v < 0x800) || (n == 4 && v < 0x10000);
	if (overlong || (v >= 0xd800 && v <= 0xdfff) || v > 0x10ffff)
		return 0;
	*point = v;
	return n;
}

/* Characters that change how their neighbours look, or show nothing at all. */
static bool deceives(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff0 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

size_t text_clean(char *out, size_t cap, struct bytes in)
{
	size_t len = 0;
	size_t cut_at = 0; /* where "..." may still be put */
	while (in.len > 0) {
		uint32_t point = 0;
		size_t n = text_character(in, &point);
		bool plain = n > 0 && !deceives(point);
		size_t source = n > 0 ? n : 1;
		size_t need = plain ? n : 4 * source;
		if (len + need + 1 > cap) {
			len = cut_at;
			for (int i = 0; i < 3 && len + 1 < cap; i++)
				out[len++] = '.';
			break;
		}
		for (size_t i = 0; i < source; i++) {
			if (plain)
				out[len++] = (char)in.data[i];
			else
				len += (size_t)snprintf(out + len, cap - len, "\\x%02x", in.data[i]);
		}
		if (len + 4 <= cap)
			cut_at = len;
		in = bytes_of(in.data + source, in.len - source);
	}
	out[len] = '\0';
	return len;
}

size_t text_hex(char *out, size_t cap, struct bytes in)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = 0;
	for (size_t i = 0; i < in.len && len + 3 <= cap; i++) {
		out[len++] = digits[in.data[i] >> 4];
		out[len++] = digits[in.data[i] & 15];
	}
	out[len] = '\0';
	return len;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool text_unhex(uint8_t *out, size_t cap, size_t *len, struct bytes in)
{
	if (in.len % 2 != 0 || in.len / 2 > cap)
		return false;
	for (size_t i = 0; i < in.len; i += 2) {
		int high = hex_digit(in.data[i]);
		int low = hex_digit(in.data[i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	*len = in.len / 2;
	return true;
}

/* Digits at the front of `in`, which moves past them. */
static bool digits_take(struct bytes *in, uint64_t *out)
{
	uint64_t v = 0;
	size_t n = 0;
	for (; n < in->len && in->data[n] >= '0' && in->data[n] <= '9'; n++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(in->data[n] - '0'), &v))
			return false;
	}
	if (n == 0)
		return false;
	*out = v;
	return bytes_skip(in, n);
}

bool text_number(struct bytes in, uint64_t max, uint64_t *out)
{
	uint64_t v;
	if (!digits_take(&in, &v) || in.len > 0 || v > max)
		return false;
	*out = v;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool with_unit(struct bytes in, const struct unit *units, uint64_t *out)
{
	uint64_t v;
	if (!digits_take(&in, &v))
		return false;
	for (; units->name; units++) {
		if (bytes_equal(in, bytes_str(units->name)))
			return !__builtin_mul_overflow(v, units->factor, out);
	}
	return false;
}

bool text_size(struct bytes in, uint64_t *out)
{
	static const struct unit units[] = {
		{"", 1},
		{"B", 1},
		{"k", 1 << 10},
		{"K", 1 << 10},
		{"KiB", 1 << 10},
		{"m", 1 << 20},
		{"M", 1 << 20},
		{"MiB", 1 << 20},
		{"G", 1ULL << 30},
		{"GiB", 1ULL << 30},
		{NULL, 0},
	};
	return with_unit(in, units, out);
}

bool text_duration(struct bytes in, uint64_t *out_ns)
{
	static const struct unit units[] = {
		{"ns", 1},
		{"us", 1000},
		{"ms", 1000000},
		{"s", 1000000000},
		{"m", 60 * 1000000000ULL},
		{"h", 3600 * 1000000000ULL},
		{"d", 86400 * 1000000000ULL},
		{NULL, 0},
	};
	return with_unit(in, units, out_ns);
}
