#include "sink/utf8.h"

#include "base/text.h"

struct range {
	uint32_t first, last;
};

static bool within(const struct range *ranges, size_t count, uint32_t point)
{
	for (size_t i = 0; i < count; i++) {
		if (point >= ranges[i].first && point <= ranges[i].last)
			return true;
	}
	return false;
}

unsigned utf8_width(uint32_t point)
{
	/* Blocks, not single characters: a column too many in a rare script does no harm. */
	static const struct range none[] = {{0x300, 0x36f}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
		{0xfe20, 0xfe2f}, {0xe0100, 0xe01ef}};
	static const struct range wide[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
		{0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}};
	if (point < 0x300)
		return 1;
	if (within(none, sizeof(none) / sizeof(none[0]), point))
		return 0;
	return within(wide, sizeof(wide) / sizeof(wide[0]), point) ? 2 : 1;
}

struct bytes utf8_fit(struct bytes in, size_t columns)
{
	size_t used = 0;
	size_t at = 0;
	while (at < in.len) {
		uint32_t point = '?';
		size_t n = text_character(bytes_of(in.data + at, in.len - at), &point);
		size_t width = n > 0 ? utf8_width(point) : 1;
		if (used + width > columns)
			break;
		used += width;
		at += n > 0 ? n : 1;
	}
	return bytes_of(in.data, at);
}

size_t utf8_columns(struct bytes in)
{
	size_t used = 0;
	for (size_t at = 0; at < in.len;) {
		uint32_t point = '?';
		size_t n = text_character(bytes_of(in.data + at, in.len - at), &point);
		used += n > 0 ? utf8_width(point) : 1;
		at += n > 0 ? n : 1;
	}
	return used;
}
