/*
 * Collecting a ClientHello: fed in pieces of any size it comes to the same result as fed at once. The first octet seeds
 * the sizes, the second chooses the scratch's.
 */
#include "tls/collect.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

static enum collect_result in_pieces(struct collect *c, struct bytes stream, uint32_t seed)
{
	enum collect_result result = COLLECT_NEED_MORE;
	uint32_t most = next(&seed) % 3 == 0 ? 3 : 400;
	for (size_t have = 0; result == COLLECT_NEED_MORE; have += 1 + next(&seed) % most) {
		size_t n = have < stream.len ? have : stream.len;
		/* To the octet, and moved each time. */
		uint8_t *copy = malloc(n ? n : 1);
		if (!copy)
			abort();
		if (n > 0)
			memcpy(copy, stream.data, n);
		result = collect_more(c, bytes_of(copy, n));
		if (result == COLLECT_NEED_MORE && c->wanted <= n)
			abort();
		if (result == COLLECT_DONE && c->consumed > n)
			abort();
		free(copy);
		if (n == stream.len)
			break;
	}
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t first_scratch[COLLECT_MAX_MESSAGE], second_scratch[COLLECT_MAX_MESSAGE];
	struct bytes stream = bytes_of(data, size);
	uint8_t seed, room;
	if (size > 4096 || !bytes_u8(&stream, &seed) || !bytes_u8(&stream, &room))
		return 0;
	size_t cap = room == 255 ? COLLECT_MAX_MESSAGE : room;
	struct collect once, pieces;
	collect_init(&once, first_scratch, cap);
	collect_init(&pieces, second_scratch, cap);
	enum collect_result result = collect_more(&once, stream);
	if (in_pieces(&pieces, stream, seed) != result)
		abort();
	if (result != COLLECT_DONE)
		return 0;
	if (once.consumed != pieces.consumed || once.records != pieces.records || once.version != pieces.version ||
		once.message.len != pieces.message.len || once.consumed > stream.len ||
		once.consumed < once.message.len + 5 * (size_t)once.records)
		abort();
	/* Over several records both are copies that can be compared. */
	if (once.records > 1 && !bytes_equal(once.message, pieces.message))
		abort();
	return 0;
}
