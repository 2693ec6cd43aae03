/*
 * A dialogue comes to the same verdict however its octets come; a refusal stays a refusal; and TLS begins only after
 * the server has spoken, or as the very first thing.
 */
#include "proxy/starttls.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Input: turns of one octet (side, length) and that many octets. */
static void play(struct starttls *s, struct bytes in, bool by_octet)
{
	uint8_t turn;
	struct bytes said;
	bool server_spoke = false, first = true;
	while (bytes_u8(&in, &turn)) {
		enum starttls_side side = turn & 1 ? STARTTLS_SERVER : STARTTLS_CLIENT;
		if (!bytes_take(&in, turn >> 1 < in.len ? turn >> 1 : in.len, &said))
			return;
		while (said.len > 0) {
			struct bytes piece;
			bool refused = s->stage == STARTTLS_OVER && s->final == STARTTLS_REFUSE;
			if (!bytes_take(&said, by_octet ? 1 : said.len, &piece))
				return;
			server_spoke |= side == STARTTLS_SERVER;
			enum starttls_result result = starttls_feed(s, side, piece);
			if (refused && result != STARTTLS_REFUSE)
				abort();
			if (result == STARTTLS_BEGINS && (side != STARTTLS_SERVER || !server_spoke))
				abort();
			if (result == STARTTLS_HELLO && !server_spoke && !first && s->client_spoke)
				abort();
			first = false;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct starttls whole, octets;
	if (size < 1)
		return 0;
	struct bytes in = bytes_of(data + 1, size - 1);
	starttls_begin(&whole, data[0] % 5);
	if (data[0] % 6 == 5)
		starttls_begin_by_greeting(&whole, bytes_str("220 ready\r\n"));
	octets = whole;
	play(&whole, in, false);
	play(&octets, in, true);
	if (whole.stage != octets.stage || (whole.stage == STARTTLS_OVER && whole.final != octets.final))
		abort();
	starttls_begin_by_greeting(&whole, in);
	return 0;
}
