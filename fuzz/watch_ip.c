/*
 * One IP packet and how much of it was cut: a payload lies in it whole, and what is told as cut is never less than
 * nothing.
 */
#include "watch/ip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	uint16_t cut;
	if (!bytes_u16(&in, &cut))
		return 0;
	struct layer layer = {.type = LAYER_ANY_IP, .bytes = in, .cut = cut};
	for (unsigned depth = 0; depth < 8; depth++) {
		struct packet packet;
		struct bytes before = layer.bytes;
		enum link_result result = ip_decode(&layer, 1, NULL, &packet);
		if (result == LINK_PACKET && (packet.payload.len > before.len ||
						     (packet.payload.len > 0 && packet.payload.data < before.data) ||
						     (packet.protocol != PACKET_TCP && packet.protocol != PACKET_UDP)))
			abort();
		if (result != LINK_LAYER || (layer.type != LAYER_IPV4 && layer.type != LAYER_IPV6))
			return 0;
		if (layer.bytes.len >= before.len)
			abort();
	}
	return 0;
}
