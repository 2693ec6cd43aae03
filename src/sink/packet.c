#include "sink/packet.h"

#define TCP_HEAD 20
#define WINDOW   65535

/* Ones' complement sums (RFC 1071) may be taken in any width and folded later. */
static uint64_t sum_add(uint64_t sum, struct bytes in)
{
	uint64_t wide = 0;
	size_t at = 0;
	for (; at + 4 <= in.len; at += 4) {
		uint32_t word;
		memcpy(&word, in.data + at, sizeof(word));
		wide += word;
	}
	uint8_t rest[4] = {0};
	if (at < in.len)
		memcpy(rest, in.data + at, in.len - at);
	uint32_t word;
	memcpy(&word, rest, sizeof(word));
	wide += word;
	return sum + (wide & 0xffffffff) + (wide >> 32);
}

/* In the octet order of the summed words, which is that of memory: store it as it is. */
static uint16_t sum_done(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static struct bytes as_ipv6(const struct flow_address *a, uint8_t out[static 16])
{
	memset(out, 0, 16);
	if (a->family == 6) {
		memcpy(out, a->ip, 16);
	} else if (a->family == 4) {
		out[10] = out[11] = 0xff;
		memcpy(out + 12, a->ip, 4);
	}
	return bytes_of(out, 16);
}

static void write_ipv4(struct writer *w, const struct packet *p, size_t tcp_len)
{
	size_t at = w->len;
	writer_u16(w, 0x4500);
	writer_u16(w, (uint16_t)(20 + tcp_len));
	writer_u32(w, 0x00004000); /* don't fragment */
	writer_u16(w, 0x4006);     /* 64 hops, TCP */
	writer_u16(w, 0);
	writer_bytes(w, bytes_of(p->from.ip, 4));
	writer_bytes(w, bytes_of(p->to.ip, 4));
	uint16_t sum = sum_done(sum_add(0, bytes_of(w->data + at, 20)));
	memcpy(w->data + at + 10, &sum, sizeof(sum));
}

static void write_ipv6(struct writer *w, struct bytes from, struct bytes to, size_t tcp_len)
{
	writer_u32(w, 0x60000000);
	writer_u16(w, (uint16_t)tcp_len);
	writer_u16(w, 0x0640); /* TCP, 64 hops */
	writer_bytes(w, from);
	writer_bytes(w, to);
}

static uint64_t pseudo_header(struct bytes from, struct bytes to, size_t tcp_len)
{
	uint8_t end[8];
	struct writer w = writer_over(end, sizeof(end));
	writer_u32(&w, (uint32_t)tcp_len);
	writer_u32(&w, 6);
	return sum_add(sum_add(sum_add(0, from), to), bytes_of(end, sizeof(end)));
}

size_t packet_head(const struct packet *p, uint8_t out[static PACKET_HEAD_MAX])
{
	struct writer w = writer_over(out, PACKET_HEAD_MAX);
	size_t tcp_len = TCP_HEAD + p->payload.len;
	/* An address that is not known goes with either family, as zeros. */
	bool ipv4 = p->from.family != 6 && p->to.family != 6;
	uint8_t from6[16];
	uint8_t to6[16];
	struct bytes from = ipv4 ? bytes_of(p->from.ip, 4) : as_ipv6(&p->from, from6);
	struct bytes to = ipv4 ? bytes_of(p->to.ip, 4) : as_ipv6(&p->to, to6);
	if (ipv4)
		write_ipv4(&w, p, tcp_len);
	else
		write_ipv6(&w, from, to, tcp_len);
	size_t at = w.len;
	writer_u16(&w, p->from.port);
	writer_u16(&w, p->to.port);
	writer_u32(&w, p->seq);
	writer_u32(&w, p->ack);
	writer_u8(&w, (TCP_HEAD / 4) << 4);
	writer_u8(&w, p->flags);
	writer_u16(&w, WINDOW);
	writer_u32(&w, 0);
	uint64_t sum = sum_add(pseudo_header(from, to, tcp_len), bytes_of(out + at, TCP_HEAD));
	uint16_t done = sum_done(sum_add(sum, p->payload));
	memcpy(out + at + 16, &done, sizeof(done));
	return w.len;
}
