#include "watch/pcapng.h"

#include "watch/capture_field.h"

#include <inttypes.h>
#include <stdlib.h>

/* Block types (draft-ietf-opsawg-pcapng, 10.1). */
#define BLOCK_SECTION    0x0a0d0d0aU
#define BLOCK_INTERFACE  0x00000001U
#define BLOCK_OLD_PACKET 0x00000002U
#define BLOCK_SIMPLE     0x00000003U
#define BLOCK_STATISTICS 0x00000005U
#define BLOCK_PACKET     0x00000006U
#define BLOCK_SECRETS    0x0000000aU

#define SECRETS_TLS 0x544c534bU

#define OPTION_END           0
#define OPTION_IF_TSRESOL    9
#define OPTION_IF_FCSLEN     13
#define OPTION_IF_TSOFFSET   14
#define OPTION_ISB_IFDROP    5
#define OPTION_ISB_OSDROP    7
#define OPTION_EPB_FLAGS     2
#define OPTION_EPB_DROPCOUNT 4

#define BLOCK_HEAD    8  /* type and length */
#define BLOCK_LEAST   12 /* and the length again at the end */
#define SECTION_LEAST 28
#define PACKET_FIXED  20 /* of an enhanced and an old packet block, before the frame */
/* Blocks that must be whole before they can be read. Larger ones only pass by, or come in pieces. */
#define BLOCK_WHOLE_MAX (CAPTURE_FRAME_MAX + ((size_t)256 * 1024))
/* A piece of secrets ends at the end of a line, unless there is none for so long. */
#define LINE_MOST ((size_t)64 * 1024)

#define LENGTHS_DIFFER "a block whose second length is not its first: the file is damaged here"

#define ORDER_BIG    0x1a2b3c4dU
#define ORDER_LITTLE 0x4d3c2b1aU

/*
 * Between the functions here, CAPTURE_FRAME also says "done, as asked", as long as it does not leave the file: each
 * that does so says what was done.
 */
struct block {
	uint32_t type;
	uint32_t length; /* all of it */
	struct bytes body;
};

bool pcapng_reader_knows(struct bytes start)
{
	return field_in(start, 0, 4) && field_u32(start, 0) == BLOCK_SECTION;
}

void pcapng_reader_free(struct pcapng_reader *reader)
{
	free(reader->interfaces);
	*reader = (struct pcapng_reader){0};
}

bool pcapng_reader_between(const struct pcapng_reader *reader, struct bytes in)
{
	return in.len == 0 && reader->skip == 0 && reader->text == 0 && reader->trailer == 0;
}

static enum capture_result want(struct pcapng_reader *reader, uint64_t octets)
{
	reader->need = octets;
	return CAPTURE_MORE;
}

/* `at` is where the fault is. */
static enum capture_result broken(
	const struct pcapng_reader *reader, uint64_t at, const char *what, uint64_t value, struct error *err)
{
	error_set(err, "after frame %" PRIu64 ", octet %" PRIu64 ": %s (%" PRIu64 ")", reader->number, at, what, value);
	return CAPTURE_BROKEN;
}

static void advance(struct pcapng_reader *reader, struct bytes *in, size_t n)
{
	reader->at += n;
	*in = field_after(*in, n);
}

static uint64_t padded(uint64_t n)
{
	return (n + 3) & ~UINT64_C(3);
}

/*
 * The next option from the front of `options`. False at the end of the list; what does not keep to the form is
 * counted.
 */
static bool option_next(struct pcapng_reader *reader, struct bytes *options, uint16_t *code, struct bytes *value)
{
	if (options->len == 0)
		return false;
	*code = field_order16(*options, 0, reader->little);
	uint16_t len = field_order16(*options, 2, reader->little);
	if (options->len >= 4 && *code == OPTION_END)
		return false;
	if (!field_in(*options, 4, len)) {
		reader->counts.options_broken++;
		return false;
	}
	*value = field_first(field_after(*options, 4), len);
	*options = field_after(*options, 4 + padded(len));
	return true;
}

static enum capture_result take_section(struct pcapng_reader *reader, const struct block *block, struct error *err)
{
	uint16_t major = field_order16(block->body, 4, reader->little);
	if (major != 1)
		return broken(reader, reader->at, "a section of a version that is not known", major, err);
	reader->before += reader->count;
	reader->count = 0;
	reader->sections++;
	return CAPTURE_MORE;
}

/* Sizes are told in octets by some writers and, as the draft has it, in bits by others. */
static uint8_t fcs_octets(uint8_t told)
{
	return told >= 16 ? told / 8 : told;
}

static bool resolution_possible(uint8_t resolution)
{
	return resolution & 0x80 ? (resolution & 0x7f) < 64 : resolution < 20;
}

static enum capture_result take_interface(struct pcapng_reader *reader, const struct block *block, struct error *err)
{
	if (block->body.len < 8)
		return broken(reader, reader->at, "an interface block that is too short", block->length, err);
	if (reader->count == CAPTURE_INTERFACES_MAX)
		return broken(reader, reader->at, "more interfaces than are kept", CAPTURE_INTERFACES_MAX, err);
	if (reader->count == reader->room) {
		uint32_t room = reader->room ? reader->room * 2 : 4;
		struct pcapng_interface *grown = realloc(reader->interfaces, room * sizeof(*grown));
		if (!grown)
			return broken(reader, reader->at, "no memory for an interface", reader->count, err);
		reader->interfaces = grown;
		reader->room = room;
	}
	struct pcapng_interface *interface = &reader->interfaces[reader->count];
	*interface = (struct pcapng_interface){
		.link = field_order16(block->body, 0, reader->little),
		.snap = field_order32(block->body, 4, reader->little),
		.resolution = 6,
	};
	struct bytes options = field_after(block->body, 8);
	uint16_t code;
	struct bytes value;
	while (option_next(reader, &options, &code, &value)) {
		if (code == OPTION_IF_TSRESOL && value.len == 1)
			interface->resolution = field_u8(value, 0);
		else if (code == OPTION_IF_FCSLEN && value.len == 1)
			interface->fcs = fcs_octets(field_u8(value, 0));
		else if (code == OPTION_IF_TSOFFSET && value.len == 8)
			interface->offset_s = (int64_t)field_order64(value, 0, reader->little);
	}
	if (!resolution_possible(interface->resolution))
		return broken(reader, reader->at, "a resolution of time that cannot be", interface->resolution, err);
	reader->count++;
	return CAPTURE_MORE;
}

/* In nanoseconds; a time before 1970 or beyond what 64 bits hold is 0, which stands for "not known". */
static uint64_t time_of(const struct pcapng_interface *interface, uint64_t ticks)
{
	static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
		10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000,
		10000000000000000, 100000000000000000, 1000000000000000000, 10000000000000000000U};
	unsigned power = interface->resolution & 0x7f;
	__int128 ns;
	if (interface->resolution & 0x80)
		ns = (__int128)(((unsigned __int128)ticks * 1000000000U) >> power);
	else if (power <= 9)
		ns = (__int128)ticks * powers[9 - power];
	else
		ns = (__int128)(ticks / powers[power - 9]);
	ns += (__int128)interface->offset_s * 1000000000;
	return ns < 0 || ns > (__int128)UINT64_MAX ? 0 : (uint64_t)ns;
}

/* What the options of an enhanced packet block tell: frames lost before it, and the length of its check sequence. */
static void take_packet_options(struct pcapng_reader *reader, struct bytes options, uint8_t *fcs)
{
	uint16_t code;
	struct bytes value;
	while (option_next(reader, &options, &code, &value)) {
		if (code == OPTION_EPB_DROPCOUNT && value.len == 8)
			reader->counts.dropped_before += field_order64(value, 0, reader->little);
		if (code == OPTION_EPB_FLAGS && value.len == 4) {
			uint8_t told = (field_order32(value, 0, reader->little) >> 5) & 15;
			if (told > 0)
				*fcs = told;
		}
	}
}

static void give_frame(struct pcapng_reader *reader, uint32_t interface, uint64_t time_ns, struct bytes bytes,
	uint32_t original, uint8_t fcs, struct frame *out)
{
	if (original <= bytes.len) {
		if (bytes.len >= fcs)
			bytes.len -= fcs;
		original = (uint32_t)bytes.len;
	}
	reader->counts.frames++;
	reader->counts.octets += bytes.len;
	*out = (struct frame){
		.time_ns = time_ns,
		.number = ++reader->number,
		.at = reader->at,
		.bytes = bytes,
		.original = original,
		.interface = reader->before + interface,
		.link = reader->interfaces[interface].link,
	};
}

static enum capture_result take_packet(
	struct pcapng_reader *reader, const struct block *block, struct frame *out, struct error *err)
{
	bool little = reader->little;
	uint32_t interface = field_order32(block->body, 0, little);
	if (block->type == BLOCK_OLD_PACKET) {
		interface = field_order16(block->body, 0, little);
		uint16_t dropped = field_order16(block->body, 2, little);
		/* All ones: not known. */
		reader->counts.dropped_before += dropped == UINT16_MAX ? 0 : dropped;
	}
	uint64_t ticks = (uint64_t)field_order32(block->body, 4, little) << 32 | field_order32(block->body, 8, little);
	uint32_t captured = field_order32(block->body, 12, little);
	uint32_t original = field_order32(block->body, 16, little);
	if (captured > CAPTURE_FRAME_MAX || !field_in(block->body, PACKET_FIXED, captured))
		return broken(reader, reader->at, "a frame that is longer than its block", captured, err);
	if (interface >= reader->count)
		return broken(reader, reader->at, "a frame of an interface that was not described", interface, err);
	const struct pcapng_interface *from = &reader->interfaces[interface];
	uint8_t fcs = from->fcs;
	struct bytes options = field_after(block->body, PACKET_FIXED + padded(captured));
	if (options.len > 0 && block->type == BLOCK_PACKET)
		take_packet_options(reader, options, &fcs);
	struct bytes bytes = field_first(field_after(block->body, PACKET_FIXED), captured);
	give_frame(reader, interface, time_of(from, ticks), bytes, original, fcs, out);
	return CAPTURE_FRAME;
}

static enum capture_result take_simple(
	struct pcapng_reader *reader, const struct block *block, struct frame *out, struct error *err)
{
	if (reader->count == 0)
		return broken(reader, reader->at, "a frame of an interface that was not described", 0, err);
	uint32_t original = field_order32(block->body, 0, reader->little);
	size_t captured = block->body.len < 4 ? 0 : block->body.len - 4;
	uint32_t snap = reader->interfaces[0].snap;
	if (captured > original)
		captured = original;
	if (snap > 0 && captured > snap)
		captured = snap;
	if (captured > CAPTURE_FRAME_MAX)
		return broken(reader, reader->at, "a frame that is too long", captured, err);
	struct bytes bytes = field_first(field_after(block->body, 4), captured);
	give_frame(reader, 0, 0, bytes, original, reader->interfaces[0].fcs, out);
	return CAPTURE_FRAME;
}

static void take_statistics(struct pcapng_reader *reader, const struct block *block)
{
	uint32_t number = field_order32(block->body, 0, reader->little);
	if (block->body.len < 12 || number >= reader->count) {
		reader->counts.options_broken++;
		return;
	}
	struct bytes options = field_after(block->body, 12);
	uint16_t code;
	struct bytes value;
	uint64_t dropped = 0;
	while (option_next(reader, &options, &code, &value)) {
		if ((code == OPTION_ISB_IFDROP || code == OPTION_ISB_OSDROP) && value.len == 8)
			dropped += field_order64(value, 0, reader->little);
	}
	/* Statistics count from the beginning: only what is new in them is added. */
	struct pcapng_interface *interface = &reader->interfaces[number];
	if (dropped > interface->dropped) {
		reader->counts.dropped_interface += dropped - interface->dropped;
		interface->dropped = dropped;
	}
}

/* Secrets come in pieces: FRAME says that the head was taken; give_secrets gives the text. */
static enum capture_result begin_secrets(
	struct pcapng_reader *reader, struct bytes *in, uint32_t length, struct error *err)
{
	if (length < BLOCK_HEAD + 8 + 4)
		return broken(reader, reader->at, "a block of secrets that is too short", length, err);
	if (in->len < BLOCK_HEAD + 8)
		return want(reader, BLOCK_HEAD + 8);
	uint32_t type = field_order32(*in, 8, reader->little);
	uint32_t text = field_order32(*in, 12, reader->little);
	uint64_t room = length - (BLOCK_HEAD + 8 + 4);
	if (padded(text) > room)
		return broken(reader, reader->at, "secrets that are longer than their block", text, err);
	reader->block_at = reader->at;
	reader->trailer = length;
	if (type == SECRETS_TLS) {
		reader->counts.secrets++;
		reader->text = text;
		reader->after = room - text;
	} else {
		reader->counts.secrets_other++;
	}
	if (reader->text == 0)
		reader->skip = room;
	advance(reader, in, BLOCK_HEAD + 8);
	return CAPTURE_FRAME;
}

static enum capture_result give_secrets(struct pcapng_reader *reader, struct bytes *in, struct capture_secrets *out)
{
	struct bytes text = field_first(*in, reader->text > SIZE_MAX ? SIZE_MAX : (size_t)reader->text);
	bool last = text.len == reader->text;
	if (!last) {
		size_t whole = text.len;
		while (whole > 0 && field_u8(text, whole - 1) != '\n')
			whole--;
		if (whole == 0 && text.len < LINE_MOST)
			return want(reader, reader->text < LINE_MOST ? reader->text : LINE_MOST);
		text = field_first(text, whole > 0 ? whole : text.len);
	}
	*out = (struct capture_secrets){.text = text, .at = reader->at, .last = last};
	reader->text -= text.len;
	advance(reader, in, text.len);
	if (last)
		reader->skip = reader->after;
	return CAPTURE_SECRETS;
}

/* Passes over what is to be skipped, then checks the length at the end of that block. FRAME: all of it is behind us. */
static enum capture_result pass_over(struct pcapng_reader *reader, struct bytes *in, struct error *err)
{
	size_t n = reader->skip < in->len ? (size_t)reader->skip : in->len;
	reader->skip -= n;
	advance(reader, in, n);
	if (reader->skip > 0)
		return want(reader, 1);
	if (reader->trailer == 0)
		return CAPTURE_FRAME;
	if (in->len < 4)
		return want(reader, 4);
	uint32_t again = field_order32(*in, 0, reader->little);
	if (again != reader->trailer)
		return broken(reader, reader->block_at, LENGTHS_DIFFER, again, err);
	reader->trailer = 0;
	advance(reader, in, 4);
	return CAPTURE_FRAME;
}

/*
 * Type and length of the block at the front of `in`; a section header sets the octet order first. FRAME: `block` is
 * set.
 */
static enum capture_result look(struct pcapng_reader *reader, struct bytes in, struct block *block, struct error *err)
{
	if (in.len < BLOCK_LEAST)
		return want(reader, BLOCK_LEAST);
	if (field_u32(in, 0) == BLOCK_SECTION) {
		uint32_t order = field_u32(in, 8);
		if (order != ORDER_BIG && order != ORDER_LITTLE)
			return broken(reader, reader->at + 8, "not the octet-order mark of a section", order, err);
		reader->little = order == ORDER_LITTLE;
	} else if (reader->sections == 0) {
		return broken(reader, reader->at, "not a pcapng file: it does not begin with a section",
			field_u32(in, 0), err);
	}
	*block = (struct block){
		.type = field_order32(in, 0, reader->little), .length = field_order32(in, 4, reader->little)};
	uint32_t least = block->type == BLOCK_SECTION ? SECTION_LEAST : BLOCK_LEAST;
	if (block->length < least || block->length % 4 != 0)
		return broken(reader, reader->at + 4, "a length that no block has: the file is damaged here",
			block->length, err);
	return CAPTURE_FRAME;
}

static bool must_be_whole(const struct pcapng_reader *reader, uint32_t type)
{
	switch (type) {
	case BLOCK_SECTION:
	case BLOCK_INTERFACE:
		return true;
	case BLOCK_PACKET:
	case BLOCK_OLD_PACKET:
	case BLOCK_SIMPLE:
	case BLOCK_STATISTICS:
		return !reader->secrets_only;
	default:
		return false;
	}
}

/* FRAME: a frame is in `out`. MORE: the block was taken in, and the next one can be read. */
static enum capture_result take_block(
	struct pcapng_reader *reader, const struct block *block, struct frame *out, struct error *err)
{
	switch (block->type) {
	case BLOCK_SECTION:
		return take_section(reader, block, err);
	case BLOCK_INTERFACE:
		return take_interface(reader, block, err);
	case BLOCK_PACKET:
	case BLOCK_OLD_PACKET:
		if (block->body.len < PACKET_FIXED)
			return broken(reader, reader->at, "a packet block that is too short", block->length, err);
		return take_packet(reader, block, out, err);
	case BLOCK_SIMPLE:
		return take_simple(reader, block, out, err);
	default:
		take_statistics(reader, block);
		return CAPTURE_MORE;
	}
}

/* Reads one block that is held whole, or begins one that is not. With `*go_on` there is nothing for the caller yet. */
static enum capture_result one_block(
	struct pcapng_reader *reader, struct bytes *in, struct capture_item *out, bool *go_on, struct error *err)
{
	struct block block;
	enum capture_result result = look(reader, *in, &block, err);
	*go_on = false;
	if (result != CAPTURE_FRAME)
		return result;
	if (block.type == BLOCK_SECRETS) {
		result = begin_secrets(reader, in, block.length, err);
		*go_on = result == CAPTURE_FRAME;
		return result;
	}
	if (!must_be_whole(reader, block.type)) {
		reader->counts.blocks_skipped++;
		reader->block_at = reader->at;
		reader->skip = block.length - BLOCK_LEAST;
		reader->trailer = block.length;
		advance(reader, in, BLOCK_HEAD);
		*go_on = true;
		return result;
	}
	if (block.length > BLOCK_WHOLE_MAX)
		return broken(reader, reader->at, "a block of a length that cannot be: the file is damaged here",
			block.length, err);
	if (in->len < block.length)
		return want(reader, block.length);
	if (field_order32(*in, block.length - 4, reader->little) != block.length)
		return broken(
			reader, reader->at, LENGTHS_DIFFER, field_order32(*in, block.length - 4, reader->little), err);
	block.body = field_first(field_after(*in, BLOCK_HEAD), block.length - BLOCK_LEAST);
	result = take_block(reader, &block, &out->frame, err);
	if (result == CAPTURE_BROKEN)
		return result;
	*go_on = result == CAPTURE_MORE;
	advance(reader, in, block.length);
	return CAPTURE_FRAME;
}

enum capture_result pcapng_reader_next(
	struct pcapng_reader *reader, struct bytes *in, struct capture_item *out, struct error *err)
{
	while (true) {
		if (reader->text > 0)
			return give_secrets(reader, in, &out->secrets);
		if (reader->skip > 0 || reader->trailer > 0) {
			enum capture_result passed = pass_over(reader, in, err);
			if (passed != CAPTURE_FRAME)
				return passed;
			continue;
		}
		bool go_on;
		enum capture_result result = one_block(reader, in, out, &go_on, err);
		if (!go_on)
			return result;
	}
}
