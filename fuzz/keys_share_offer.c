/* Offers and notices of strangers: what both sides make of them is never more than both lists have. */
#include "keys/share_offer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A tag that an input can hold. */
static bool compute(const void *ctx, struct bytes data, uint8_t out[static 32])
{
	(void)ctx;
	memset(out, data.data[data.len - 1], 32);
	return true;
}

static void check(const struct share_agreement *agreement, uint64_t own)
{
	if ((agreement->refusal == SHARE_AGREED) != (agreement->readers != 0) || (agreement->readers & ~own) != 0 ||
		agreement->refusal >= SHARE_REFUSALS)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct share_sha256 sha256 = {.compute = compute};
	struct bytes rest = bytes_of(data, size), list = BYTES_NONE;
	struct share_readers readers = {.count = 4};
	uint8_t own = 0, room[SHARE_NOTICE_MAX];
	for (uint8_t i = 0; i < 4; i++) {
		readers.at[i] = (struct share_reader){.mode = i % 2 + 1, .name = bytes_str("r")};
		memset(readers.at[i].key_id, i, SHARE_KEY_ID);
	}
	if (!bytes_u8(&rest, &own))
		return 0;
	own &= 15;
	struct share_agreement server = share_offer_decide(&sha256, &readers, own, rest);
	struct share_agreement client = share_notice_check(&readers, own, rest);
	struct writer to = writer_over(room, sizeof(room));
	check(&server, own);
	check(&client, own);
	if (server.refusal == SHARE_AGREED) {
		if (!share_notice_write(&readers, &server, &to))
			abort();
		client = share_notice_check(&readers, own, bytes_of(room, to.len));
		if (client.readers != server.readers || client.mode != server.mode)
			abort();
	}
	/* The list, too, is a file that somebody may have written. */
	if (bytes_vec16(&rest, &list) && share_readers_read(list, &readers))
		(void)!share_readers_for(&readers, rest);
	return 0;
}
