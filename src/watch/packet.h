/*
 * watch/packet.h — one packet of a capture as far as following connections needs it: addresses, ports, the fields of its
 * TCP or UDP header, and its payload. A value; no I/O. Views point into the caller's octets and live as long as these.
 */
#ifndef WATCH_PACKET_H
#define WATCH_PACKET_H

#include "flow/event.h"

#define PACKET_TCP 6
#define PACKET_UDP 17

/* Bits of `flags`, as in the TCP header (RFC 9293, 3.1). */
#define PACKET_FIN 0x01
#define PACKET_SYN 0x02
#define PACKET_RST 0x04
#define PACKET_PSH 0x08
#define PACKET_ACK 0x10

struct packet {
	uint64_t time_ns;                        /* wall clock, since 1970-01-01 UTC; 0 where the capture has no time */
	uint64_t number;                         /* of the frame in its source, from 1 */
	struct flow_address source, destination; /* with ports */
	uint8_t protocol;                        /* PACKET_TCP or PACKET_UDP */
	uint8_t flags;                           /* of TCP */
	uint32_t seq, ack;                       /* of TCP */
	struct bytes payload;                    /* what was captured of it */
	uint32_t cut; /* payload octets that were on the wire and not captured (snap length) */
};

#endif
