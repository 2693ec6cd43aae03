#include "tls/list.h"

bool list_next(struct bytes *list, uint16_t *value)
{
	return bytes_u16(list, value);
}

bool list_holds(struct bytes list, uint16_t value)
{
	uint16_t seen;
	while (list_next(&list, &seen)) {
		if (seen == value)
			return true;
	}
	return false;
}

size_t list_count(struct bytes list)
{
	return list.len / 2;
}

size_t list_filter(
	struct bytes list, bool (*keep)(uint16_t value, const void *ctx), const void *ctx, uint16_t *out, size_t cap)
{
	size_t kept = 0;
	uint16_t value;
	while (list_next(&list, &value)) {
		if (!keep(value, ctx))
			continue;
		if (kept < cap)
			out[kept] = value;
		kept++;
	}
	return kept;
}

bool grease_is(uint16_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

bool grease_is_psk_mode(uint8_t value)
{
	/* RFC 8701, 2: 0x0b + 0x1f * n. */
	return value >= 0x0b && value <= 0xe4 && (value - 0x0b) % 0x1f == 0;
}
