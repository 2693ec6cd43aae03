#include "decode/coding.h"

#include <brotli/encode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#define ROOM ((size_t)1 << 20)

/* What came out. */
struct out {
	uint8_t *data;
	size_t len;
	uint64_t octets; /* those that were not kept too */
};

static void keep(void *ctx, struct bytes octets)
{
	struct out *out = ctx;
	assert_true(octets.len > 0 && octets.len <= CODING_OUT);
	out->octets += octets.len;
	if (octets.len > ROOM - out->len)
		return;
	memcpy(out->data + out->len, octets.data, octets.len);
	out->len += octets.len;
}

struct bed {
	struct coding_memory memory;
	struct coding_limits limits;
	struct out out;
	uint8_t *text; /* ROOM octets, half of them easy to pack */
};

static int begin(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	assert_non_null(b);
	b->memory.cap = (size_t)64 << 20;
	b->limits = CODING_LIMITS_DEFAULT;
	b->out.data = malloc(ROOM);
	b->text = malloc(ROOM);
	assert_non_null(b->out.data);
	assert_non_null(b->text);
	uint32_t seed = 1;
	for (size_t i = 0; i < ROOM; i++) {
		seed = seed * 1664525 + 1013904223;
		b->text[i] = (i >> 14) % 2 ? (uint8_t)(seed >> 24) : (uint8_t)("abcdefgh\n"[i % 9]);
	}
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bed *b = *state;
	/* Everything was given back. */
	assert_int_equal(b->memory.used, 0);
	free(b->out.data);
	free(b->text);
	free(b);
	return 0;
}

/* Packing. */

static size_t pack_zlib(struct bytes in, uint8_t *out, int bits)
{
	z_stream z = {0};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in.data;
	z.avail_in = (uInt)in.len;
	z.next_out = out;
	z.avail_out = 2 * ROOM;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	size_t len = z.total_out;
	deflateEnd(&z);
	return len;
}

static size_t pack(const char *coding, struct bytes in, uint8_t *out)
{
	size_t len = 2 * ROOM;
	if (strcmp(coding, "gzip") == 0)
		return pack_zlib(in, out, MAX_WBITS + 16);
	if (strcmp(coding, "deflate") == 0)
		return pack_zlib(in, out, MAX_WBITS);
	if (strcmp(coding, "raw") == 0)
		return pack_zlib(in, out, -MAX_WBITS);
	if (strcmp(coding, "br") == 0) {
		assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, in.len, in.data, &len, out));
		return len;
	}
	assert_string_equal(coding, "zstd");
	len = ZSTD_compress(out, len, in.data, in.len, 3);
	assert_false(ZSTD_isError(len));
	return len;
}

static uint8_t *packed_room(void)
{
	static uint8_t *rooms[4];
	static unsigned at;
	uint8_t **room = &rooms[at++ % 4];
	free(*room);
	*room = malloc(2 * ROOM);
	assert_non_null(*room);
	return *room;
}

static struct bytes packed(const char *coding, struct bytes in)
{
	uint8_t *out = packed_room();
	return bytes_of(out, pack(coding, in, out));
}

/* Unpacking. */

static struct coding *opened(struct bed *b, const char *codings)
{
	enum coding_open why;
	b->out.len = 0;
	b->out.octets = 0;
	struct coding *c =
		coding_new(&(struct coding_setup){b->limits, &b->memory, keep, &b->out}, bytes_str(codings), &why);
	assert_int_equal(why, CODING_OPEN_OK);
	assert_non_null(c);
	return c;
}

static enum coding_result feed(struct coding *c, struct bytes in, size_t most)
{
	enum coding_result result = CODING_MORE;
	struct bytes part;
	while (bytes_take(&in, in.len < most ? in.len : most, &part) && part.len > 0)
		result = coding_feed(c, part);
	return result;
}

static enum coding_result unpack(struct bed *b, const char *codings, struct bytes in, size_t most)
{
	struct coding *c = opened(b, codings);
	enum coding_result result = feed(c, in, most);
	assert_int_equal(coding_given(c), b->out.octets);
	coding_free(c);
	return result;
}

static void came_out(const struct bed *b, struct bytes text)
{
	assert_int_equal(b->out.octets, text.len);
	assert_memory_equal(b->out.data, text.data, text.len);
}

static const struct {
	const char *pack, *name;
} kinds[] = {{"gzip", "gzip"}, {"gzip", "X-GZip"}, {"deflate", "deflate"}, {"raw", "deflate"}, {"br", "br"},
	{"zstd", "zstd"}};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void every_coding_comes_off_in_pieces_of_any_size(void **state)
{
	struct bed *b = *state;
	static const size_t sizes[] = {1, 7, 4096, SIZE_MAX};
	static const size_t lens[] = {0, 1, 100, 40000, ROOM};
	for (size_t kind = 0; kind < KINDS; kind++) {
		for (size_t len = 0; len < sizeof(lens) / sizeof(lens[0]); len++) {
			struct bytes text = bytes_of(b->text, lens[len]), in = packed(kinds[kind].pack, text);
			for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++) {
				if (lens[len] == ROOM && sizes[size] < 4096)
					continue;
				assert_int_equal(unpack(b, kinds[kind].name, in, sizes[size]), CODING_DONE);
				came_out(b, text);
			}
		}
	}
}

static void codings_upon_each_other_come_off_from_the_last(void **state)
{
	struct bed *b = *state;
	struct bytes text = bytes_of(b->text, ROOM);
	struct bytes gzip = packed("gzip", text);
	struct bytes both = packed("br", gzip);
	assert_int_equal(unpack(b, "gzip, br", both, 1000), CODING_DONE);
	came_out(b, text);
	struct bytes four = packed("zstd", packed("deflate", both));
	assert_int_equal(unpack(b, "identity,gzip ,\tbr, , deflate,zstd", four, SIZE_MAX), CODING_DONE);
	came_out(b, text);
	assert_int_equal(unpack(b, "br, gzip", both, 1000), CODING_BAD);
}

static void lists_that_cannot_be_followed_are_told_apart(void **state)
{
	struct bed *b = *state;
	static const struct {
		const char *list;
		enum coding_open why;
	} lists[] = {{"", CODING_OPEN_NONE}, {" identity , ", CODING_OPEN_NONE}, {"compress", CODING_OPEN_UNKNOWN},
		{"gzip, dcb", CODING_OPEN_UNKNOWN}, {"gzip gzip", CODING_OPEN_UNKNOWN},
		{"br,br,br,br,br", CODING_OPEN_TOO_MANY}};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		enum coding_open why;
		assert_null(coding_new(
			&(struct coding_setup){b->limits, &b->memory, keep, &b->out}, bytes_str(lists[i].list), &why));
		assert_int_equal(why, lists[i].why);
	}
	assert_int_equal(b->memory.used, 0);
}

static void what_is_cut_never_counts_as_done(void **state)
{
	struct bed *b = *state;
	struct bytes text = bytes_of(b->text, 3000);
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct bytes in = packed(kinds[kind].pack, text);
		for (size_t n = 1; n < in.len; n += 1 + n / 16) {
			assert_int_equal(unpack(b, kinds[kind].name, bytes_of(in.data, n), SIZE_MAX), CODING_MORE);
			assert_true(b->out.len <= text.len);
			assert_memory_equal(b->out.data, text.data, b->out.len);
		}
	}
}

/* Found by fuzzing: what was made ends the room of one step just where the input ends, and more was made of that. */
static void what_was_cut_gives_all_that_was_in_it(void **state)
{
	static const uint8_t cut[] = {0x1b, 0x0f, 0x4e, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c,
		0x20, 0x6f, 0x61, 0x5b, 0x1c, 0x80, 0xff, 0xff, 0x20, 0xff, 0xff, 0x0e, 0x02, 0x09, 0x1b, 0x0f, 0x4e,
		0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x61, 0x5b};
	struct bed *b = *state;
	for (size_t most = 1; most <= sizeof(cut); most++) {
		assert_int_equal(unpack(b, "br", bytes_of(cut, sizeof(cut)), most), CODING_MORE);
		assert_int_equal(b->out.octets, 17616);
	}
}

static void what_is_not_coded_so_is_bad(void **state)
{
	struct bed *b = *state;
	struct bytes html = bytes_str("<!DOCTYPE html><html><head><title>not packed at all</title>");
	assert_int_equal(unpack(b, "gzip", html, SIZE_MAX), CODING_BAD);
	assert_int_equal(unpack(b, "zstd", html, 1), CODING_BAD);
	assert_int_equal(b->out.octets, 0);
	uint8_t *copy = packed_room();
	struct bytes in = packed("gzip", bytes_of(b->text, 3000));
	memcpy(copy, in.data, in.len);
	copy[in.len - 5] ^= 1; /* the checksum's */
	struct coding *c = opened(b, "gzip");
	assert_int_equal(coding_feed(c, bytes_of(copy, in.len)), CODING_BAD);
	assert_int_equal(coding_feed(c, in), CODING_BAD);
	coding_free(c);
	assert_int_equal(b->out.octets, 3000);
}

static void members_follow_each_other_and_rubbish_behind_them_is_passed_over(void **state)
{
	struct bed *b = *state;
	static const char *const multiple[] = {"gzip", "zstd"};
	for (size_t i = 0; i < 2; i++) {
		uint8_t *two = packed_room();
		struct bytes first = packed(multiple[i], bytes_of(b->text, 20000));
		memcpy(two, first.data, first.len);
		size_t len = first.len + pack(multiple[i], bytes_of(b->text + 20000, 5000), two + first.len);
		for (size_t most = 1; most < 100000; most *= 20) {
			assert_int_equal(unpack(b, multiple[i], bytes_of(two, len), most), CODING_DONE);
			came_out(b, bytes_of(b->text, 25000));
		}
		struct coding *c = opened(b, multiple[i]);
		assert_int_equal(coding_feed(c, first), CODING_DONE);
		assert_int_equal(coding_feed(c, bytes_of(two + first.len, 12)), CODING_MORE);
		coding_free(c);
	}
	for (size_t kind = 0; kind < KINDS; kind++) {
		uint8_t *two = packed_room();
		size_t len = pack(kinds[kind].pack, bytes_of(b->text, 20000), two);
		memset(two + len, 0, 40);
		for (size_t most = 1; most < 100000; most *= 20) {
			assert_int_equal(unpack(b, kinds[kind].name, bytes_of(two, len + 40), most), CODING_DONE);
			came_out(b, bytes_of(b->text, 20000));
		}
	}
}

static void little_that_becomes_too_much_is_stopped(void **state)
{
	struct bed *b = *state;
	uint8_t *zeros = calloc(1, (size_t)64 << 20);
	assert_non_null(zeros);
	struct bytes all = bytes_of(zeros, (size_t)64 << 20);
	b->limits.free = (uint64_t)4 << 20;
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct bytes in = packed(kinds[kind].pack, all);
		assert_int_equal(unpack(b, kinds[kind].name, in, 512), CODING_TOO_LARGE);
		assert_true(b->out.octets > 1 << 20);
		assert_true(b->out.octets < b->limits.free + in.len * b->limits.ratio + CODING_OUT);
		/* A bomb within another coding costs no more. */
		char both[16];
		(void)snprintf(both, sizeof(both), "%s, zstd", kinds[kind].name);
		assert_int_equal(unpack(b, both, packed("zstd", in), 512), CODING_TOO_LARGE);
	}
	free(zeros);
}

static void more_in_allows_more_out(void **state)
{
	struct bed *b = *state;
	b->limits = (struct coding_limits){.free = 1, .ratio = 3};
	struct bytes in = packed("gzip", bytes_of(b->text, ROOM));
	assert_int_equal(unpack(b, "gzip", in, SIZE_MAX), CODING_DONE);
	b->limits.ratio = 1;
	assert_int_equal(unpack(b, "gzip", in, SIZE_MAX), CODING_TOO_LARGE);
}

static void memory_is_held_to_its_cap(void **state)
{
	struct bed *b = *state;
	struct bytes text = bytes_of(b->text, ROOM);
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct bytes in = packed(kinds[kind].pack, text);
		unsigned refused = 0;
		for (size_t cap = 1000; cap < (size_t)32 << 20; cap += cap / 3) {
			enum coding_open why;
			b->memory.cap = cap;
			b->memory.refused = 0;
			b->out.len = 0;
			struct coding *c = coding_new(&(struct coding_setup){b->limits, &b->memory, keep, &b->out},
				bytes_str(kinds[kind].name), &why);
			if (!c) {
				assert_int_equal(why, CODING_OPEN_NO_MEMORY);
				refused++;
				continue;
			}
			enum coding_result result = coding_feed(c, in);
			assert_true(b->memory.used <= cap);
			assert_true(result == (b->memory.refused ? CODING_NO_MEMORY : CODING_DONE));
			refused += result == CODING_NO_MEMORY;
			coding_free(c);
			assert_int_equal(b->memory.used, 0);
		}
		assert_true(refused > 1);
		b->memory.cap = (size_t)64 << 20;
		assert_int_equal(unpack(b, kinds[kind].name, in, SIZE_MAX), CODING_DONE);
	}
}

static void a_window_that_no_sender_may_use_is_refused_before_any_memory_is_taken(void **state)
{
	struct bed *b = *state;
	/* A frame header with a window of 2 GiB; and one segment of 1 TiB. */
	static const uint8_t window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0, 0};
	static const uint8_t segment[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};
	assert_int_equal(unpack(b, "zstd", bytes_of(window, sizeof(window)), 1), CODING_TOO_LARGE);
	assert_int_equal(unpack(b, "zstd", bytes_of(segment, sizeof(segment)), SIZE_MAX), CODING_TOO_LARGE);
}

static void windows_that_senders_use_are_taken(void **state)
{
	struct bed *b = *state;
	for (int level = 1; level <= 19; level += 3) {
		ZSTD_CCtx *packer = ZSTD_createCCtx();
		uint8_t *out = packed_room();
		ZSTD_inBuffer from = {b->text, ROOM, 0};
		ZSTD_outBuffer to = {out, 2 * ROOM, 0};
		assert_non_null(packer);
		/* As a server streams it: the size is not known; and not above what RFC 9659 allows. */
		assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, level)));
		assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(packer, ZSTD_c_windowLog, level > 10 ? 23 : 19)));
		assert_false(ZSTD_isError(ZSTD_compressStream2(packer, &to, &from, ZSTD_e_flush)));
		assert_int_equal(ZSTD_compressStream2(packer, &to, &from, ZSTD_e_end), 0);
		ZSTD_freeCCtx(packer);
		assert_int_equal(unpack(b, "zstd", bytes_of(out, to.pos), 1000), CODING_DONE);
		came_out(b, bytes_of(b->text, ROOM));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(every_coding_comes_off_in_pieces_of_any_size),
		TEST(codings_upon_each_other_come_off_from_the_last),
		TEST(lists_that_cannot_be_followed_are_told_apart),
		TEST(what_is_cut_never_counts_as_done),
		TEST(what_was_cut_gives_all_that_was_in_it),
		TEST(what_is_not_coded_so_is_bad),
		TEST(members_follow_each_other_and_rubbish_behind_them_is_passed_over),
		TEST(little_that_becomes_too_much_is_stopped),
		TEST(more_in_allows_more_out),
		TEST(memory_is_held_to_its_cap),
		TEST(a_window_that_no_sender_may_use_is_refused_before_any_memory_is_taken),
		TEST(windows_that_senders_use_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
