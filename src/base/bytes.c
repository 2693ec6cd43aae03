#include "base/bytes.h"

#include <openssl/crypto.h>

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.data[i]) != lower(b.data[i]))
			return false;
	}
	return true;
}

bool bytes_equal_secret(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.data, b.data, a.len) == 0);
}

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t shared = a.len < b.len ? a.len : b.len;
	int order = shared ? memcmp(a.data, b.data, shared) : 0;
	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

bool bytes_starts(struct bytes in, struct bytes prefix)
{
	return in.len >= prefix.len && (prefix.len == 0 || memcmp(in.data, prefix.data, prefix.len) == 0);
}

size_t bytes_find(struct bytes in, uint8_t value, size_t from)
{
	if (from >= in.len)
		return in.len;
	const uint8_t *hit = memchr(in.data + from, value, in.len - from);
	return hit ? (size_t)(hit - in.data) : in.len;
}

bool bytes_take(struct bytes *in, size_t n, struct bytes *out)
{
	if (in->len < n)
		return false;
	*out = bytes_of(in->data, n);
	/* NULL + 0 is undefined in C17, and an empty view may hold NULL. */
	if (n > 0)
		*in = bytes_of(in->data + n, in->len - n);
	return true;
}

bool bytes_skip(struct bytes *in, size_t n)
{
	struct bytes gone;
	return bytes_take(in, n, &gone);
}

static bool take_uint(struct bytes *in, unsigned width, uint64_t *out)
{
	struct bytes raw;
	if (!bytes_take(in, width, &raw))
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < raw.len; i++)
		v = v << 8 | raw.data[i];
	*out = v;
	return true;
}

bool bytes_u8(struct bytes *in, uint8_t *out)
{
	uint64_t v;
	if (!take_uint(in, 1, &v))
		return false;
	*out = (uint8_t)v;
	return true;
}

bool bytes_u16(struct bytes *in, uint16_t *out)
{
	uint64_t v;
	if (!take_uint(in, 2, &v))
		return false;
	*out = (uint16_t)v;
	return true;
}

bool bytes_u24(struct bytes *in, uint32_t *out)
{
	uint64_t v;
	if (!take_uint(in, 3, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

bool bytes_u32(struct bytes *in, uint32_t *out)
{
	uint64_t v;
	if (!take_uint(in, 4, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

bool bytes_u64(struct bytes *in, uint64_t *out)
{
	return take_uint(in, 8, out);
}

static bool take_vec(struct bytes *in, unsigned width, struct bytes *out)
{
	struct bytes rest = *in;
	uint64_t n;
	if (!take_uint(&rest, width, &n) || !bytes_take(&rest, n, out))
		return false;
	*in = rest;
	return true;
}

bool bytes_vec8(struct bytes *in, struct bytes *out)
{
	return take_vec(in, 1, out);
}

bool bytes_vec16(struct bytes *in, struct bytes *out)
{
	return take_vec(in, 2, out);
}

bool bytes_vec24(struct bytes *in, struct bytes *out)
{
	return take_vec(in, 3, out);
}

bool bytes_vec32(struct bytes *in, struct bytes *out)
{
	return take_vec(in, 4, out);
}

static void put_uint(struct writer *w, uint64_t v, unsigned width)
{
	if (w->full || w->cap - w->len < width) {
		w->full = true;
		return;
	}
	for (unsigned i = width; i-- > 0;)
		w->data[w->len++] = (uint8_t)(v >> (8 * i));
}

void writer_u8(struct writer *w, uint8_t v)
{
	put_uint(w, v, 1);
}

void writer_u16(struct writer *w, uint16_t v)
{
	put_uint(w, v, 2);
}

void writer_u24(struct writer *w, uint32_t v)
{
	put_uint(w, v, 3);
}

void writer_u32(struct writer *w, uint32_t v)
{
	put_uint(w, v, 4);
}

void writer_u64(struct writer *w, uint64_t v)
{
	put_uint(w, v, 8);
}

void writer_bytes(struct writer *w, struct bytes b)
{
	if (w->full || w->cap - w->len < b.len) {
		w->full = true;
		return;
	}
	if (b.len > 0)
		memcpy(w->data + w->len, b.data, b.len);
	w->len += b.len;
}

static void put_vec(struct writer *w, struct bytes b, unsigned width)
{
	if ((uint64_t)b.len >> (8 * width) != 0)
		w->full = true;
	put_uint(w, b.len, width);
	writer_bytes(w, b);
}

void writer_vec8(struct writer *w, struct bytes b)
{
	put_vec(w, b, 1);
}

void writer_vec16(struct writer *w, struct bytes b)
{
	put_vec(w, b, 2);
}

void writer_vec32(struct writer *w, struct bytes b)
{
	put_vec(w, b, 4);
}

size_t writer_open(struct writer *w, unsigned width)
{
	put_uint(w, 0, width);
	return w->len;
}

void writer_close(struct writer *w, size_t mark, unsigned width)
{
	if (w->full)
		return;
	uint64_t n = w->len - mark;
	if (n >> (8 * width) != 0) {
		w->full = true;
		return;
	}
	for (unsigned i = 0; i < width; i++)
		w->data[mark - 1 - i] = (uint8_t)(n >> (8 * i));
}

bool writer_done(const struct writer *w, struct bytes *out)
{
	if (w->full)
		return false;
	*out = bytes_of(w->data, w->len);
	return true;
}
