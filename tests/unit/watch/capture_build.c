#include "capture_build.h"

#include <stdlib.h>

void put16(struct writer *w, bool little, uint16_t v)
{
	writer_u16(w, little ? __builtin_bswap16(v) : v);
}

void put32(struct writer *w, bool little, uint32_t v)
{
	writer_u32(w, little ? __builtin_bswap32(v) : v);
}

void put64(struct writer *w, bool little, uint64_t v)
{
	writer_u64(w, little ? __builtin_bswap64(v) : v);
}

struct bytes written(const struct writer *w)
{
	struct bytes out;
	if (!writer_done(w, &out))
		abort();
	return out;
}

void put_pcap(struct writer *w, bool little, uint32_t magic, uint32_t network)
{
	put32(w, little, magic);
	put16(w, little, 2);
	put16(w, little, 4);
	put64(w, little, 0);
	put32(w, little, 262144);
	put32(w, little, network);
}

void put_record(
	struct writer *w, bool little, uint32_t seconds, uint32_t fraction, struct bytes frame, uint32_t original)
{
	put32(w, little, seconds);
	put32(w, little, fraction);
	put32(w, little, (uint32_t)frame.len);
	put32(w, little, original);
	writer_bytes(w, frame);
}

static void pad(struct writer *w, size_t len)
{
	for (; len % 4 != 0; len++)
		writer_u8(w, 0);
}

void put_block(struct writer *w, bool little, uint32_t type, struct bytes body)
{
	uint32_t len = 12 + (uint32_t)((body.len + 3) / 4 * 4);
	put32(w, little, type);
	put32(w, little, len);
	writer_bytes(w, body);
	pad(w, body.len);
	put32(w, little, len);
}

void put_section(struct writer *w, bool little)
{
	uint8_t room[64];
	struct writer body = writer_over(room, sizeof(room));
	put32(&body, little, 0x1a2b3c4d);
	put16(&body, little, 1);
	put16(&body, little, 0);
	put64(&body, little, UINT64_MAX);
	put_block(w, little, 0x0a0d0d0a, written(&body));
}

void put_interface(struct writer *w, bool little, uint16_t link, uint32_t snap, struct bytes options)
{
	uint8_t room[512];
	struct writer body = writer_over(room, sizeof(room));
	put16(&body, little, link);
	put16(&body, little, 0);
	put32(&body, little, snap);
	writer_bytes(&body, options);
	put_block(w, little, 1, written(&body));
}

void put_option(struct writer *w, bool little, uint16_t code, struct bytes value)
{
	put16(w, little, code);
	put16(w, little, (uint16_t)value.len);
	writer_bytes(w, value);
	pad(w, value.len);
}

void put_packet(struct writer *w, bool little, uint32_t interface, uint64_t ticks, struct bytes frame,
	uint32_t original, struct bytes options)
{
	static uint8_t room[300000];
	struct writer body = writer_over(room, sizeof(room));
	put32(&body, little, interface);
	put32(&body, little, (uint32_t)(ticks >> 32));
	put32(&body, little, (uint32_t)ticks);
	put32(&body, little, (uint32_t)frame.len);
	put32(&body, little, original);
	writer_bytes(&body, frame);
	pad(&body, frame.len);
	writer_bytes(&body, options);
	put_block(w, little, 6, written(&body));
}

void put_secrets(struct writer *w, bool little, uint32_t type, struct bytes text)
{
	static uint8_t room[300000];
	struct writer body = writer_over(room, sizeof(room));
	put32(&body, little, type);
	put32(&body, little, (uint32_t)text.len);
	writer_bytes(&body, text);
	put_block(w, little, 10, written(&body));
}

void put_ethernet(struct writer *w, uint16_t type)
{
	writer_bytes(w, RAW(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1));
	writer_u16(w, type);
}

static void put_ipv4_head(struct writer *w, uint8_t protocol, uint16_t total, uint16_t id, uint16_t where)
{
	writer_u16(w, 0x4500);
	writer_u16(w, total);
	writer_u16(w, id);
	writer_u16(w, where);
	writer_u8(w, 64);
	writer_u8(w, protocol);
	writer_u16(w, 0);
	writer_bytes(w, RAW(192, 0, 2, 1, 192, 0, 2, 2));
}

void put_ipv4(struct writer *w, uint8_t protocol, uint16_t total)
{
	put_ipv4_head(w, protocol, total, 1, 0x4000);
}

void put_ipv4_fragment(struct writer *w, uint8_t protocol, uint16_t id, uint16_t offset, bool more, struct bytes part)
{
	put_ipv4_head(w, protocol, (uint16_t)(20 + part.len), id, (uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
	writer_bytes(w, part);
}

void put_ipv6(struct writer *w, uint8_t next, uint16_t len)
{
	writer_u32(w, 0x60000000);
	writer_u16(w, len);
	writer_u8(w, next);
	writer_u8(w, 64);
	writer_bytes(w, RAW(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
	writer_bytes(w, RAW(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2));
}

void put_tcp(struct writer *w, struct bytes payload)
{
	writer_u16(w, 1000);
	writer_u16(w, 443);
	writer_u32(w, 1000);
	writer_u32(w, 2000);
	writer_u16(w, 0x5018);
	writer_u16(w, 512);
	writer_u32(w, 0);
	writer_bytes(w, payload);
}

void put_udp(struct writer *w, uint16_t port, struct bytes payload)
{
	writer_u16(w, 1000);
	writer_u16(w, port);
	writer_u16(w, (uint16_t)(8 + payload.len));
	writer_u16(w, 0);
	writer_bytes(w, payload);
}

void put_frame(struct writer *w, struct bytes payload)
{
	put_ethernet(w, 0x0800);
	put_ipv4(w, 6, (uint16_t)(40 + payload.len));
	put_tcp(w, payload);
}
