/*
 * What two sides of a few connections say, in segments of any length: whatever it is, what is told of their hellos has
 * its form, and nothing is kept of what is over.
 */
#include "watch/greeting.h"
#include "watch/link.h"
#include "watch/packet.h"

#include <stdlib.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)
#define CONNECTIONS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(void *arg, const struct greeting *greeting)
{
	unsigned *told = arg;
	MUST(greeting->client_random.len == 32 && greeting->server_random.len == 32);
	MUST(greeting->name.len <= 253 && bytes_find(greeting->name, 0, 0) == greeting->name.len);
	MUST(greeting->client.port != 0 && greeting->server.port == 443);
	++*told;
}

/* A frame of raw IPv4 with TCP; client's ports are 1 to CONNECTIONS. */
static void say(struct greetings *greetings, uint64_t number, unsigned connection, bool up, uint8_t flags, uint32_t seq,
	struct bytes payload)
{
	uint8_t room[512];
	struct writer w = writer_over(room, sizeof(room));
	uint16_t client = (uint16_t)(connection + 1);
	writer_u16(&w, 0x4500);
	writer_u16(&w, (uint16_t)(40 + payload.len));
	writer_u32(&w, 0);
	writer_u8(&w, 64);
	writer_u8(&w, PACKET_TCP);
	writer_u16(&w, 0);
	writer_u32(&w, up ? 0xc0000201 : 0xc0000202);
	writer_u32(&w, up ? 0xc0000202 : 0xc0000201);
	writer_u16(&w, up ? client : 443);
	writer_u16(&w, up ? 443 : client);
	writer_u32(&w, seq);
	writer_u32(&w, 0);
	writer_u8(&w, 0x50);
	writer_u8(&w, flags);
	writer_u16(&w, 65535);
	writer_u32(&w, 0);
	writer_bytes(&w, payload);
	const struct frame frame = {.time_ns = number * 1000000,
		.number = number,
		.bytes = bytes_of(room, w.len),
		.original = (uint32_t)w.len,
		.link = LINKTYPE_RAW};
	greetings_frame(greetings, &frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size), payload;
	uint32_t next[CONNECTIONS][2] = {{0}};
	uint64_t number = 1;
	unsigned told = 0;
	uint8_t control, len;
	struct greetings *greetings = greetings_new(tell, &told);
	MUST(greetings);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		say(greetings, number++, i, true, PACKET_SYN, 0, BYTES_NONE);
		say(greetings, number++, i, false, PACKET_SYN | PACKET_ACK, 0, BYTES_NONE);
		next[i][0] = next[i][1] = 1;
	}
	while (bytes_u8(&in, &control) && bytes_u8(&in, &len)) {
		(void)bytes_take(&in, len < in.len ? len : in.len, &payload);
		uint32_t *at = &next[control % CONNECTIONS][control >> 2 & 1];
		/* Now and then a piece is missing, or comes again. */
		*at += (control >> 4) == 15 ? 7 : (control >> 4) == 14 && *at > 7 ? -7u : 0;
		say(greetings, number++, control % CONNECTIONS, control >> 2 & 1,
			control & 8 ? PACKET_ACK | PACKET_FIN : PACKET_ACK, *at, payload);
		*at += (uint32_t)payload.len;
	}
	struct greetings_counts counts = greetings_count(greetings);
	MUST(counts.told == told && counts.octets <= GREETING_ALL_MAX);
	/* Patience with all holes ends. */
	greetings_tick(greetings, number * 1000000 + UINT64_C(700000000000));
	greetings_free(greetings);
	return 0;
}
