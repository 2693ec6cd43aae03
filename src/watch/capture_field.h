/*
 * watch/capture_field.h — fields of packet and block headers at fixed places, for paths that run once per packet. As
 * with base/bytes, nothing outside the view is ever read: a field that does not lie in it whole is 0, a part is cut to
 * what there is. Callers check a header's length once and then name its fields. No I/O, no allocation.
 */
#ifndef WATCH_CAPTURE_FIELD_H
#define WATCH_CAPTURE_FIELD_H

#include "base/bytes.h"

/* Whether `n` octets at `at` lie in `in`. */
static inline bool field_in(struct bytes in, size_t at, size_t n)
{
	return at <= in.len && n <= in.len - at;
}

static inline uint8_t field_u8(struct bytes in, size_t at)
{
	return at < in.len ? in.data[at] : 0;
}

/* In network order. */
static inline uint16_t field_u16(struct bytes in, size_t at)
{
	uint16_t v = 0;
	if (field_in(in, at, sizeof(v)))
		memcpy(&v, in.data + at, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t field_u32(struct bytes in, size_t at)
{
	uint32_t v = 0;
	if (field_in(in, at, sizeof(v)))
		memcpy(&v, in.data + at, sizeof(v));
	return __builtin_bswap32(v);
}

/* In the order of whoever wrote it: `little` or network order. */
static inline uint16_t field_order16(struct bytes in, size_t at, bool little)
{
	uint16_t v = field_u16(in, at);
	return little ? __builtin_bswap16(v) : v;
}

static inline uint32_t field_order32(struct bytes in, size_t at, bool little)
{
	uint32_t v = field_u32(in, at);
	return little ? __builtin_bswap32(v) : v;
}

static inline uint64_t field_order64(struct bytes in, size_t at, bool little)
{
	uint64_t first = field_order32(in, at, little);
	uint64_t second = field_order32(in, at + 4, little);
	return little ? second << 32 | first : first << 32 | second;
}

/* The first `n` octets, or all when there are fewer. */
static inline struct bytes field_first(struct bytes in, size_t n)
{
	return bytes_of(in.data, n < in.len ? n : in.len);
}

/* What follows the first `at` octets; empty when there are no more. */
static inline struct bytes field_after(struct bytes in, size_t at)
{
	return at < in.len ? bytes_of(in.data + at, in.len - at) : BYTES_NONE;
}

#endif
