/*
 * Frames of all link types, one after the other, with fragments: what comes out lies in the frame or in what was put
 * together.
 */
#include "watch/link.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t links[] = {LINKTYPE_NULL, LINKTYPE_ETHERNET, LINKTYPE_PPP, LINKTYPE_RAW, LINKTYPE_LOOP,
		LINKTYPE_SLL, LINKTYPE_IPV4, LINKTYPE_IPV6, LINKTYPE_SLL2, 105};
	struct bytes in = bytes_of(data, size), bytes;
	struct fragments *fragments = fragments_new((struct fragment_limits){.datagrams = 8, .octets = 100000});
	struct frame frame = {0};
	uint8_t link, cut, seconds;
	if (!fragments)
		return 0;
	while (bytes_u8(&in, &link) && bytes_u8(&in, &cut) && bytes_u8(&in, &seconds) && bytes_vec16(&in, &bytes)) {
		/* Behind its own border, so that a step over it is seen. */
		uint8_t *own = malloc(bytes.len + 1);
		if (!own)
			break;
		memcpy(own, bytes.len ? bytes.data : (const uint8_t *)"", bytes.len);
		uint8_t *exact = realloc(own, bytes.len ? bytes.len : 1);
		frame.bytes = bytes_of(exact, bytes.len);
		frame.original = (uint32_t)bytes.len + cut;
		frame.link = links[link % (sizeof(links) / sizeof(links[0]))];
		frame.time_ns += seconds * UINT64_C(1000000000);
		frame.number++;
		struct packet packet;
		struct link_counts counts = {{0}, {0}};
		enum link_result result = link_decode(&frame, fragments, &packet);
		link_count(&counts, result, &frame);
		if ((unsigned)result >= LINK_RESULTS)
			abort();
		if (result == LINK_PACKET) {
			volatile uint8_t touched = 0;
			for (size_t i = 0; i < packet.payload.len; i++)
				touched ^= packet.payload.data[i];
			(void)touched;
			if (packet.source.family != 4 && packet.source.family != 6)
				abort();
		}
		struct fragment_counts held = fragments_count(fragments);
		if (held.held > 8 || held.octets > 100000)
			abort();
		free(exact);
	}
	fragments_free(fragments);
	return 0;
}
