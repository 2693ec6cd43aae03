/*
 * sink/packet.h — plaintext dressed as TCP segments over IP without a link layer (RFC 791, 8200, 9293), checksums and
 * all. No I/O.
 */
#ifndef SINK_PACKET_H
#define SINK_PACKET_H

#include "flow/event.h"

#define PACKET_HEAD_MAX    60    /* octets in front of the payload: IPv6 40 + TCP 20 */
#define PACKET_PAYLOAD_MAX 65475 /* fits both IP versions */

enum packet_flags { PACKET_FIN = 1, PACKET_SYN = 2, PACKET_RST = 4, PACKET_PSH = 8, PACKET_ACK = 16 };

struct packet {
	struct flow_address from, to; /* of different families: both become IPv6, an IPv4 address as ::ffff:a.b.c.d */
	uint32_t seq, ack;
	uint8_t flags;
	struct bytes payload; /* at most PACKET_PAYLOAD_MAX */
};

/* Writes the headers only; the payload follows them. Returns their length. */
size_t packet_head(const struct packet *packet, uint8_t out[static PACKET_HEAD_MAX]);

#endif
