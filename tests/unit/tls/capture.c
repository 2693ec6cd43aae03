/* A small reader of pcap files for the tests: IPv4, TCP, segments in the order of the file, repeats dropped. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

void capture_path(const char *name, char *out, size_t cap)
{
	snprintf(out, cap, "%s/%s", CAPTURES, name);
}

static uint32_t little32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static struct stream *find_stream(struct capture *capture, uint32_t from, uint16_t from_port, uint16_t to_port)
{
	for (size_t i = 0; i < capture->count; i++) {
		struct stream *s = &capture->streams[i];
		if (s->from_address == from && s->from_port == from_port && s->to_port == to_port)
			return s;
	}
	if (capture->count == sizeof(capture->streams) / sizeof(capture->streams[0]))
		return NULL;
	struct stream *s = &capture->streams[capture->count++];
	*s = (struct stream){.from_address = from, .from_port = from_port, .to_port = to_port};
	return s;
}

static void append(struct stream *s, uint32_t sequence, struct bytes data)
{
	if (s->len > 0 && sequence != s->next_sequence)
		return;
	if (s->len + data.len > s->cap) {
		s->cap = (s->len + data.len) * 2;
		s->data = realloc(s->data, s->cap);
		if (!s->data)
			abort();
	}
	memcpy(s->data + s->len, data.data, data.len);
	s->len += data.len;
	s->next_sequence = sequence + (uint32_t)data.len;
}

static void take_ip(struct capture *capture, struct bytes packet)
{
	struct bytes ip, tcp;
	uint8_t first, protocol, offset;
	uint16_t total, from_port, to_port;
	uint32_t from, sequence;
	struct bytes head = packet;
	if (!bytes_u8(&head, &first) || first >> 4 != 4 || !bytes_skip(&head, 1) || !bytes_u16(&head, &total) ||
		!bytes_skip(&head, 5) || !bytes_u8(&head, &protocol) || protocol != 6 || !bytes_skip(&head, 2) ||
		!bytes_u32(&head, &from))
		return;
	/* Offloading leaves 0 in the length of large segments. */
	if (!bytes_take(&packet, total ? total : packet.len, &ip) || !bytes_skip(&ip, (first & 15) * 4U))
		return;
	tcp = ip;
	if (!bytes_u16(&tcp, &from_port) || !bytes_u16(&tcp, &to_port) || !bytes_u32(&tcp, &sequence) ||
		!bytes_skip(&tcp, 4) || !bytes_u8(&tcp, &offset) || !bytes_skip(&ip, (offset >> 4) * 4U) || ip.len == 0)
		return;
	struct stream *stream = find_stream(capture, from, from_port, to_port);
	if (stream)
		append(stream, sequence, ip);
}

bool capture_open(struct capture *capture, const char *name)
{
	char path[4096];
	uint8_t header[24];
	static uint8_t packet[262144];
	capture_path(name, path, sizeof(path));
	*capture = (struct capture){0};
	gzFile file = gzopen(path, "rb");
	if (!file)
		return false;
	bool ok = gzread(file, header, sizeof(header)) == (int)sizeof(header) && little32(header) == 0xa1b2c3d4;
	uint32_t ethernet = ok ? little32(header + 20) == 1 : 0;
	while (ok && gzread(file, header, 16) == 16) {
		uint32_t n = little32(header + 8);
		if (n > sizeof(packet) || gzread(file, packet, n) != (int)n)
			break;
		struct bytes frame = bytes_of(packet, n);
		uint16_t kind = 0x0800;
		if (ethernet && (!bytes_skip(&frame, 12) || !bytes_u16(&frame, &kind)))
			continue;
		if (kind == 0x0800)
			take_ip(capture, frame);
	}
	gzclose(file);
	return ok;
}

void capture_free(struct capture *capture)
{
	for (size_t i = 0; i < capture->count; i++)
		free(capture->streams[i].data);
	capture->count = 0;
}

const struct stream *capture_client(const struct capture *capture, size_t n)
{
	for (size_t i = 0; i < capture->count; i++) {
		const struct stream *s = &capture->streams[i];
		if (s->len > 5 && s->data[0] == 22 && s->data[5] == 1 && n-- == 0)
			return s;
	}
	return NULL;
}

const struct stream *capture_answer(const struct capture *capture, const struct stream *client)
{
	for (size_t i = 0; i < capture->count; i++) {
		const struct stream *s = &capture->streams[i];
		if (s->from_port == client->to_port && s->to_port == client->from_port)
			return s;
	}
	return NULL;
}
