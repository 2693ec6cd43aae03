/*
 * Content codings: a list by the first octet, pieces by the second. Fed in pieces, a body comes to the same result and
 * the same octets as at once, within the limits, and gives all memory back.
 */
#include "decode/coding.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	uint64_t octets, value;
};

static void add(void *ctx, struct bytes octets)
{
	struct sum *sum = ctx;
	if (octets.len == 0 || octets.len > CODING_OUT)
		abort();
	for (size_t i = 0; i < octets.len; i++)
		sum->value = sum->value * 31 + octets.data[i];
	sum->octets += octets.len;
}

static enum coding_result unpack(struct bytes list, struct bytes in, size_t most, struct sum *sum)
{
	struct coding_memory memory = {.cap = (size_t)24 << 20};
	struct coding_setup setup = {{.free = 1 << 20, .ratio = 64}, &memory, add, sum};
	enum coding_open why;
	enum coding_result result = CODING_MORE;
	struct coding *c = coding_new(&setup, list, &why);
	struct bytes part;
	if (!c)
		abort();
	while (in.len > 0 && bytes_take(&in, in.len < most ? in.len : most, &part))
		result = coding_feed(c, part);
	if (coding_given(c) != sum->octets || memory.used > memory.cap)
		abort();
	coding_free(c);
	if (memory.used != 0)
		abort();
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const lists[] = {
		"gzip", "deflate", "br", "zstd", "gzip, br", "zstd,deflate", "br,gzip,zstd,br"};
	struct bytes in = bytes_of(data, size);
	uint8_t list, most;
	if (size > 65536 || !bytes_u8(&in, &list) || !bytes_u8(&in, &most))
		return 0;
	struct bytes text = bytes_str(lists[list % (sizeof(lists) / sizeof(lists[0]))]);
	struct sum once = {0}, pieces = {0};
	enum coding_result first = unpack(text, in, SIZE_MAX, &once);
	enum coding_result second = unpack(text, in, (size_t)most + 1, &pieces);
	/* How much of a fault's own piece comes out before it, and when a limit is looked at, is by the pieces. */
	bool whole = first == CODING_DONE || first == CODING_MORE;
	if (whole && second != first && second != CODING_TOO_LARGE)
		abort();
	if (whole && second == first && (once.octets != pieces.octets || once.value != pieces.value))
		abort();
	if (once.octets > (1 << 20) + 64 * (uint64_t)in.len + CODING_OUT)
		abort();
	return 0;
}
