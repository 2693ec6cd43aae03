#include "tls/fingerprint.h"

#include "base/text.h"
#include "tls/extension.h"
#include "tls/list.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define JA4_HASH_LEN 12

/*
 * Where the text of a fingerprint goes: to the caller's room, or piece by piece into a digest, so that a hello with
 * thousands of values needs no buffer.
 */
struct out {
	struct writer room;
	EVP_MD_CTX *digest; /* NULL: `room` is the result; else it only gathers what goes to the digest next */
	bool failed;
};

static void out_flush(struct out *out)
{
	if (EVP_DigestUpdate(out->digest, out->room.data, out->room.len) != 1)
		out->failed = true;
	out->room.len = 0;
}

static void out_bytes(struct out *out, struct bytes text)
{
	if (out->digest && out->room.cap - out->room.len < text.len)
		out_flush(out);
	writer_bytes(&out->room, text);
}

static void out_text(struct out *out, const char *text)
{
	out_bytes(out, bytes_str(text));
}

static const char digits[] = "0123456789abcdef";

/* Written by hand: a hello has some sixty of these, and snprintf took most of a fingerprint's time. */
static void out_decimal(struct out *out, unsigned value)
{
	char text[5];
	size_t at = sizeof(text);
	do {
		text[--at] = digits[value % 10];
		value /= 10;
	} while (value > 0 && at > 0);
	out_bytes(out, bytes_of(text + at, sizeof(text) - at));
}

static void out_hex(struct out *out, unsigned value)
{
	char text[4] = {digits[value >> 12 & 15], digits[value >> 8 & 15], digits[value >> 4 & 15], digits[value & 15]};
	out_bytes(out, bytes_of(text, sizeof(text)));
}

/* A list of values: decimal with hyphens between (JA3), or four hex digits with commas (JA4). GREASE is left out. */
struct series {
	struct out *out;
	bool hex;
	size_t count;
};

static void series_put(struct series *series, uint16_t value)
{
	if (grease_is(value))
		return;
	if (series->count++ > 0)
		out_text(series->out, series->hex ? "," : "-");
	if (series->hex)
		out_hex(series->out, value);
	else
		out_decimal(series->out, value);
}

static void put_list(struct series series, struct bytes list)
{
	uint16_t value;
	while (list_next(&list, &value))
		series_put(&series, value);
}

static void write_ja3(struct out *out, const struct client_hello *hello)
{
	struct series decimal = {.out = out};
	struct series formats = decimal, extensions = decimal, version = decimal;
	struct bytes block = hello->extensions, octets = hello->point_formats;
	struct extension ext;
	uint8_t format;

	series_put(&version, hello->legacy_version);
	out_text(out, ",");
	put_list(decimal, hello->suites);
	out_text(out, ",");
	while (extension_next(&block, &ext))
		series_put(&extensions, ext.type);
	out_text(out, ",");
	put_list(decimal, hello->groups);
	out_text(out, ",");
	while (bytes_u8(&octets, &format))
		series_put(&formats, format);
}

bool ja3_string(const struct client_hello *hello, char *out, size_t cap)
{
	if (cap == 0)
		return false;
	struct out text = {.room = writer_over(out, cap)};
	struct bytes done;
	write_ja3(&text, hello);
	writer_u8(&text.room, 0);
	if (writer_done(&text.room, &done))
		return true;
	out[0] = 0;
	return false;
}

/* A digest that gathers through `room`. False (and nothing to free) when OpenSSL does not have it. */
static bool digest_begin(struct out *out, const char *name, uint8_t *room, size_t cap)
{
	EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = md && ctx && EVP_DigestInit_ex2(ctx, md, NULL) == 1;
	EVP_MD_free(md);
	if (!ok) {
		EVP_MD_CTX_free(ctx);
		return false;
	}
	*out = (struct out){.room = writer_over(room, cap), .digest = ctx};
	return true;
}

/* Ends the digest, frees it, and writes its first `len` hex digits and NUL. */
static bool digest_end(struct out *out, char *hex, size_t len)
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	out_flush(out);
	bool ok = !out->failed && EVP_DigestFinal_ex(out->digest, sum, &n) == 1 && n >= len / 2;
	EVP_MD_CTX_free(out->digest);
	if (!ok)
		n = 0;
	return text_hex(hex, len + 1, bytes_of(sum, n < len / 2 ? n : len / 2)) == len;
}

bool ja3(const struct client_hello *hello, char out[JA3_LEN + 1])
{
	uint8_t room[512];
	struct out digest;
	out[0] = 0;
	if (!digest_begin(&digest, "MD5", room, sizeof(room)))
		return false;
	write_ja3(&digest, hello);
	return digest_end(&digest, out, JA3_LEN);
}

static int by_value(const void *a, const void *b)
{
	uint16_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* The most values a list behind a 16-bit length can hold. */
#define LIST_MAX 32767

/* A list of values to be sorted, GREASE left out. On the stack: 64 KiB at most, for one call. */
struct sorted {
	uint16_t values[LIST_MAX];
	size_t count;
};

static void sorted_add(struct sorted *sorted, uint16_t value)
{
	if (!grease_is(value) && sorted->count < LIST_MAX)
		sorted->values[sorted->count++] = value;
}

/* The values in hex and in order, then, where there are any, an underscore and `tail` in its own order. */
static bool hash_sorted(struct sorted *sorted, struct bytes tail, char hex[JA4_HASH_LEN + 1])
{
	uint8_t room[512];
	struct out digest;
	if (sorted->count == 0) {
		memcpy(hex, "000000000000", JA4_HASH_LEN + 1);
		return true;
	}
	if (!digest_begin(&digest, "SHA256", room, sizeof(room)))
		return false;
	qsort(sorted->values, sorted->count, sizeof(sorted->values[0]), by_value);
	struct series hexes = {.out = &digest, .hex = true};
	for (size_t i = 0; i < sorted->count; i++)
		series_put(&hexes, sorted->values[i]);
	struct series last = {.out = &digest, .hex = true};
	uint16_t value;
	while (list_next(&tail, &value)) {
		if (last.count == 0 && !grease_is(value))
			out_text(&digest, "_");
		series_put(&last, value);
	}
	return digest_end(&digest, hex, JA4_HASH_LEN);
}

/* The highest version in supported_versions, or else legacy_version. */
static const char *ja4_version(const struct client_hello *hello)
{
	uint16_t highest = 0, value;
	struct bytes list = hello->versions;
	while (list_next(&list, &value)) {
		if (!grease_is(value) && value > highest)
			highest = value;
	}
	switch (hello->has_versions ? highest : hello->legacy_version) {
	case 0x0304:
		return "13";
	case 0x0303:
		return "12";
	case 0x0302:
		return "11";
	case 0x0301:
		return "10";
	case 0x0300:
		return "s3";
	case 0x0002:
		return "s2";
	case 0xfeff:
		return "d1";
	case 0xfefd:
		return "d2";
	case 0xfefc:
		return "d3";
	default:
		return "00";
	}
}

static bool is_alphanumeric(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* First and last character of the first protocol, or of its hex form when either is no letter or digit; else "00". */
static void ja4_alpn(const struct client_hello *hello, char out[3])
{
	struct bytes list = hello->alpn, name, last;
	uint8_t first_octet, last_octet;
	memcpy(out, "00", 3);
	if (!alpn_next(&list, &name))
		return;
	last = name;
	if (!bytes_skip(&last, name.len - 1) || !bytes_u8(&last, &last_octet) || !bytes_u8(&name, &first_octet))
		return;
	if (is_alphanumeric(first_octet) && is_alphanumeric(last_octet)) {
		out[0] = (char)first_octet;
		out[1] = (char)last_octet;
		return;
	}
	out[0] = digits[first_octet >> 4];
	out[1] = digits[last_octet & 15];
}

static unsigned two_digits(size_t count)
{
	return count > 99 ? 99 : (unsigned)count;
}

bool ja4(const struct client_hello *hello, enum ja4_transport transport, char out[JA4_LEN + 1])
{
	struct sorted sorted;
	char suites[JA4_HASH_LEN + 1], rest[JA4_HASH_LEN + 1], alpn[3];
	struct bytes list = hello->suites, block = hello->extensions;
	struct extension ext;
	uint16_t value;

	out[0] = 0;
	sorted.count = 0;
	while (list_next(&list, &value))
		sorted_add(&sorted, value);
	unsigned suite_count = two_digits(sorted.count);
	if (!hash_sorted(&sorted, BYTES_NONE, suites))
		return false;

	/* The name and the protocol have their places in front: they are counted, but not hashed. */
	size_t extensions = 0;
	sorted.count = 0;
	while (extension_next(&block, &ext)) {
		extensions += !grease_is(ext.type);
		if (ext.type != EXT_SERVER_NAME && ext.type != EXT_ALPN)
			sorted_add(&sorted, ext.type);
	}
	if (!hash_sorted(&sorted, hello->sigalgs, rest))
		return false;

	ja4_alpn(hello, alpn);
	int n = snprintf(out, JA4_LEN + 1, "%c%s%c%02u%02u%s_%s_%s", (char)transport, ja4_version(hello),
		client_hello_has(hello, EXT_SERVER_NAME) ? 'd' : 'i', suite_count, two_digits(extensions), alpn, suites,
		rest);
	return n == JA4_LEN;
}
