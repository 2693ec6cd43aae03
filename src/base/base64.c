#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct writer *w, struct bytes octets)
{
	for (size_t at = 0; at < octets.len; at += 3) {
		size_t left = octets.len - at;
		uint32_t three = (uint32_t)octets.data[at] << 16;
		if (left > 1)
			three |= (uint32_t)octets.data[at + 1] << 8;
		if (left > 2)
			three |= octets.data[at + 2];
		writer_u8(w, (uint8_t)alphabet[three >> 18]);
		writer_u8(w, (uint8_t)alphabet[three >> 12 & 63]);
		writer_u8(w, (uint8_t)(left > 1 ? alphabet[three >> 6 & 63] : '='));
		writer_u8(w, (uint8_t)(left > 2 ? alphabet[three & 63] : '='));
	}
}

/* 0..63; 64 for what is no digit. */
static uint32_t digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0' + 52);
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four digits, of which the last two may be padding in the last four. */
static bool four(struct bytes in, bool last, struct writer *w)
{
	size_t pad = last && in.data[3] == '=' ? in.data[2] == '=' ? 2 : 1 : 0;
	uint32_t three = 0;
	for (size_t i = 0; i < 4; i++) {
		uint32_t d = i < 4 - pad ? digit(in.data[i]) : 0;
		if (d == 64)
			return false;
		three = three << 6 | d;
	}
	/* Bits that no octet takes must be zero, else two texts would be the same octets. */
	if ((pad == 1 && three & 0xff) || (pad == 2 && three & 0xffff))
		return false;
	writer_u8(w, (uint8_t)(three >> 16));
	if (pad < 2)
		writer_u8(w, (uint8_t)(three >> 8));
	if (pad < 1)
		writer_u8(w, (uint8_t)three);
	return true;
}

bool base64_read(struct bytes text, uint8_t *out, size_t cap, size_t *len)
{
	struct writer w = writer_over(out, cap);
	struct bytes group;
	while (bytes_take(&text, 4, &group)) {
		if (!four(group, text.len == 0, &w))
			return false;
	}
	*len = w.len;
	return text.len == 0 && !w.full;
}
