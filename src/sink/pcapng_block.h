/*
 * sink/pcapng_block.h — blocks of a pcapng file (draft-ietf-opsawg-pcapng, 3), written whole into an output. They are in
 * the byte order of the machine, which the section header says.
 */
#ifndef SINK_PCAPNG_BLOCK_H
#define SINK_PCAPNG_BLOCK_H

#include "sink/output.h"

#define PCAPNG_SECTION   0x0a0d0d0aU
#define PCAPNG_INTERFACE 1U
#define PCAPNG_PACKET    6U
#define PCAPNG_SECRETS   0x0000000aU
#define PCAPNG_TLS_KEYS  0x544c534bU /* type of secrets: a TLS key log */

#define PCAPNG_OPTION_END     0
#define PCAPNG_OPTION_COMMENT 1
#define PCAPNG_OPTION_NAME    2
#define PCAPNG_OPTION_TEXT    3
#define PCAPNG_OPTION_PROGRAM 4
#define PCAPNG_OPTION_TSRESOL 9

/* Begins a block of at most `max` octets. A writer without room where that cannot be had: the end counts it as lost. */
must_check struct writer pcapng_open(struct output *out, uint32_t type, size_t max);
void pcapng_u16(struct writer *w, uint16_t v);
void pcapng_u32(struct writer *w, uint32_t v);
/* Up to the next multiple of four octets. */
void pcapng_pad(struct writer *w);
void pcapng_option(struct writer *w, uint16_t code, struct bytes value);
void pcapng_close(struct output *out, struct writer *w);

/* A section header, and an interface of this link type with times in nanoseconds. Empty texts are left out. */
void pcapng_put_section(struct output *out);
void pcapng_put_interface(struct output *out, uint16_t link, const char *name, const char *text);

struct pcapng_packet {
	uint32_t interface;
	uint64_t time_ns;
	uint32_t original; /* octets on the wire; what was captured is `head` and `bytes` together */
	struct bytes head;
	struct bytes bytes;
	struct bytes comment; /* empty: none */
};

void pcapng_put_packet(struct output *out, const struct pcapng_packet *packet);

#endif
