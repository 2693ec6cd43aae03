#include "sink/pcapng_block.h"

#define OVERHEAD 128 /* octets of a block around its packet, without a comment */

void pcapng_u16(struct writer *w, uint16_t v)
{
	writer_bytes(w, bytes_of(&v, sizeof(v)));
}

void pcapng_u32(struct writer *w, uint32_t v)
{
	writer_bytes(w, bytes_of(&v, sizeof(v)));
}

void pcapng_pad(struct writer *w)
{
	while (w->len % 4 != 0 && !w->full)
		writer_u8(w, 0);
}

void pcapng_option(struct writer *w, uint16_t code, struct bytes value)
{
	pcapng_u16(w, code);
	pcapng_u16(w, (uint16_t)value.len);
	writer_bytes(w, value);
	pcapng_pad(w);
}

struct writer pcapng_open(struct output *out, uint32_t type, size_t max)
{
	uint8_t *room = output_room(out, max);
	struct writer w = writer_over(room, room ? max : 0);
	pcapng_u32(&w, type);
	pcapng_u32(&w, 0);
	return w;
}

/* Total length stands at both ends. The writer holds this block and nothing else. */
void pcapng_close(struct output *out, struct writer *w)
{
	uint32_t total = (uint32_t)w->len + 4;
	pcapng_u32(w, total);
	struct bytes block;
	if (!writer_done(w, &block)) {
		output_lost(out);
		return;
	}
	memcpy(w->data + 4, &total, sizeof(total));
	output_commit(out, block.len);
}

void pcapng_put_section(struct output *out)
{
	struct writer w = pcapng_open(out, PCAPNG_SECTION, OVERHEAD);
	pcapng_u32(&w, 0x1a2b3c4dU);
	pcapng_u16(&w, 1);
	pcapng_u16(&w, 0);
	pcapng_u32(&w, UINT32_MAX); /* section length: not said, it grows */
	pcapng_u32(&w, UINT32_MAX);
	pcapng_option(&w, PCAPNG_OPTION_PROGRAM, bytes_str("Overt " OVERT_VERSION));
	pcapng_option(&w, PCAPNG_OPTION_END, BYTES_NONE);
	pcapng_close(out, &w);
}

void pcapng_put_interface(struct output *out, uint16_t link, const char *name, const char *text)
{
	struct writer w = pcapng_open(out, PCAPNG_INTERFACE, strlen(name) + strlen(text) + OVERHEAD);
	pcapng_u16(&w, link);
	pcapng_u16(&w, 0);
	pcapng_u32(&w, 0); /* no limit on a packet's length */
	if (*name)
		pcapng_option(&w, PCAPNG_OPTION_NAME, bytes_str(name));
	if (*text)
		pcapng_option(&w, PCAPNG_OPTION_TEXT, bytes_str(text));
	pcapng_option(&w, PCAPNG_OPTION_TSRESOL, bytes_str("\x09")); /* nanoseconds */
	pcapng_option(&w, PCAPNG_OPTION_END, BYTES_NONE);
	pcapng_close(out, &w);
}

void pcapng_put_packet(struct output *out, const struct pcapng_packet *packet)
{
	size_t len = packet->head.len + packet->bytes.len;
	struct writer w = pcapng_open(out, PCAPNG_PACKET, len + packet->comment.len + OVERHEAD);
	pcapng_u32(&w, packet->interface);
	pcapng_u32(&w, (uint32_t)(packet->time_ns >> 32));
	pcapng_u32(&w, (uint32_t)packet->time_ns);
	pcapng_u32(&w, (uint32_t)len);
	pcapng_u32(&w, packet->original);
	writer_bytes(&w, packet->head);
	writer_bytes(&w, packet->bytes);
	pcapng_pad(&w);
	if (packet->comment.len > 0) {
		pcapng_option(&w, PCAPNG_OPTION_COMMENT, packet->comment);
		pcapng_option(&w, PCAPNG_OPTION_END, BYTES_NONE);
	}
	pcapng_close(out, &w);
}
