/* What the tests of captures share: files and packets written octet by octet. */
#ifndef TESTS_WATCH_CAPTURE_BUILD_H
#define TESTS_WATCH_CAPTURE_BUILD_H

#include "base/bytes.h"

/* Octets written out where they are used: RAW(0x01, 0x02). */
#define RAW(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#define PCAP_MICRO 0xa1b2c3d4U
#define PCAP_NANO  0xa1b23c4dU

/* In network order or, with `little`, the other. */
void put16(struct writer *w, bool little, uint16_t v);
void put32(struct writer *w, bool little, uint32_t v);
void put64(struct writer *w, bool little, uint64_t v);

void put_pcap(struct writer *w, bool little, uint32_t magic, uint32_t network);
void put_record(
	struct writer *w, bool little, uint32_t seconds, uint32_t fraction, struct bytes frame, uint32_t original);

void put_block(struct writer *w, bool little, uint32_t type, struct bytes body);
void put_section(struct writer *w, bool little);
/* `options` as they stand in the file. */
void put_interface(struct writer *w, bool little, uint16_t link, uint32_t snap, struct bytes options);
void put_option(struct writer *w, bool little, uint16_t code, struct bytes value);
void put_packet(struct writer *w, bool little, uint32_t interface, uint64_t ticks, struct bytes frame,
	uint32_t original, struct bytes options);
void put_secrets(struct writer *w, bool little, uint32_t type, struct bytes text);

/* From 192.0.2.1 port 1000 to 192.0.2.2 port 443, or the same of 2001:db8::/32. */
void put_ethernet(struct writer *w, uint16_t type);
void put_ipv4(struct writer *w, uint8_t protocol, uint16_t total);
void put_ipv4_fragment(struct writer *w, uint8_t protocol, uint16_t id, uint16_t offset, bool more, struct bytes part);
void put_ipv6(struct writer *w, uint8_t next, uint16_t len);
/* Sequence number 1000, acknowledgement 2000, flags ACK and PSH. */
void put_tcp(struct writer *w, struct bytes payload);
void put_udp(struct writer *w, uint16_t port, struct bytes payload);
/* Ethernet, IPv4, TCP. */
void put_frame(struct writer *w, struct bytes payload);

/* What was written so far. */
struct bytes written(const struct writer *w);

#endif
