/*
 * base/bytes.h — reading and writing octets, in the manner of the TLS presentation language (RFC 8446, 3).
 * No I/O, no allocation. Nothing here can read or write outside what it was given.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of octets owned by somebody else. `data` may be NULL only when `len` is 0. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

#define BYTES_NONE ((struct bytes){NULL, 0})

static inline struct bytes bytes_of(const void *data, size_t len)
{
	return (struct bytes){data, len};
}

/* The octets of a C string, without its NUL. */
static inline struct bytes bytes_str(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

must_check bool bytes_equal(struct bytes a, struct bytes b);
/* ASCII letters compare without case: for names of DNS and HTTP. */
must_check bool bytes_equal_nocase(struct bytes a, struct bytes b);
/* Time depends on the lengths only. For anything a stranger may not learn octet by octet. */
must_check bool bytes_equal_secret(struct bytes a, struct bytes b);
/* Three-way comparison as memcmp, the shorter first where one begins with the other. */
must_check int bytes_compare(struct bytes a, struct bytes b);
must_check bool bytes_starts(struct bytes in, struct bytes prefix);
/* First `value` at or after `from`; in.len when there is none. */
must_check size_t bytes_find(struct bytes in, uint8_t value, size_t from);

/*
 * Readers. Each takes its value from the front of `in` and moves `in` past it. Where too little is left they return
 * false and change neither `in` nor `*out`. Integers are in network order.
 */
must_check bool bytes_skip(struct bytes *in, size_t n);
must_check bool bytes_take(struct bytes *in, size_t n, struct bytes *out);
must_check bool bytes_u8(struct bytes *in, uint8_t *out);
must_check bool bytes_u16(struct bytes *in, uint16_t *out);
must_check bool bytes_u24(struct bytes *in, uint32_t *out);
must_check bool bytes_u32(struct bytes *in, uint32_t *out);
must_check bool bytes_u64(struct bytes *in, uint64_t *out);
/* opaque<0..2^8-1>, <0..2^16-1>, <0..2^24-1>, and <0..2^32-1>, which only our own messages use. */
must_check bool bytes_vec8(struct bytes *in, struct bytes *out);
must_check bool bytes_vec16(struct bytes *in, struct bytes *out);
must_check bool bytes_vec24(struct bytes *in, struct bytes *out);
must_check bool bytes_vec32(struct bytes *in, struct bytes *out);

/*
 * A writer into a buffer of fixed size. What does not fit is not written and sets `full`, which stays set: write all,
 * then ask once with writer_done().
 */
struct writer {
	uint8_t *data;
	size_t len; /* octets written so far */
	size_t cap;
	bool full;
};

static inline struct writer writer_over(void *data, size_t cap)
{
	return (struct writer){.data = data, .cap = cap};
}

void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u24(struct writer *w, uint32_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
void writer_bytes(struct writer *w, struct bytes b);
/* Length in 8, 16 or 32 bits, then the octets. A value longer than its length field can say sets `full`. */
void writer_vec8(struct writer *w, struct bytes b);
void writer_vec16(struct writer *w, struct bytes b);
void writer_vec32(struct writer *w, struct bytes b);
/* Room for a length of `width` octets (1..4), filled in by writer_close with what was written since. */
size_t writer_open(struct writer *w, unsigned width);
void writer_close(struct writer *w, size_t mark, unsigned width);

/* False when anything did not fit; else *out is what was written, still in the writer's buffer. */
must_check bool writer_done(const struct writer *w, struct bytes *out);

#endif
