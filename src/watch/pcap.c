#include "watch/pcap.h"

#include "watch/capture_field.h"

#include <inttypes.h>

#define FILE_HEADER   24
#define RECORD_HEADER 16
#define LONGER_HEADER 24

/* Magic numbers as a big-endian writer writes them. */
#define MAGIC_MICRO  0xa1b2c3d4U
#define MAGIC_NANO   0xa1b23c4dU
#define MAGIC_LONGER 0xa1b2cd34U

/* In the field of the link type (draft-ietf-opsawg-pcap, 4): whether the top four bits count 16-bit words of FCS. */
#define FCS_GIVEN 0x04000000U

static bool magic_known(uint32_t magic)
{
	return magic == MAGIC_MICRO || magic == MAGIC_NANO || magic == MAGIC_LONGER;
}

bool pcap_reader_knows(struct bytes start)
{
	return field_in(start, 0, 4) &&
	       (magic_known(field_u32(start, 0)) || magic_known(field_order32(start, 0, true)));
}

static enum capture_result want(struct pcap_reader *reader, uint64_t octets)
{
	reader->need = octets;
	return CAPTURE_MORE;
}

/* FRAME says here that the file header was taken. */
static enum capture_result begin(struct pcap_reader *reader, struct bytes *in, struct error *err)
{
	struct bytes header = *in;
	if (header.len < FILE_HEADER)
		return want(reader, FILE_HEADER);
	reader->little = !magic_known(field_u32(header, 0));
	uint32_t magic = field_order32(header, 0, reader->little);
	uint16_t major = field_order16(header, 4, reader->little);
	if (!magic_known(magic) || major != 2) {
		error_set(err, "octet 0: not a pcap file of version 2");
		return CAPTURE_BROKEN;
	}
	reader->nano = magic == MAGIC_NANO;
	reader->longer = magic == MAGIC_LONGER;
	uint32_t network = field_order32(header, 20, reader->little);
	reader->link = (uint16_t)network;
	if (network & FCS_GIVEN)
		reader->fcs = (uint8_t)((network >> 28) * 2);
	reader->begun = true;
	reader->at += FILE_HEADER;
	*in = field_after(header, FILE_HEADER);
	return CAPTURE_FRAME;
}

enum capture_result pcap_reader_next(struct pcap_reader *reader, struct bytes *in, struct frame *out, struct error *err)
{
	if (!reader->begun) {
		enum capture_result result = begin(reader, in, err);
		if (result != CAPTURE_FRAME)
			return result;
	}
	struct bytes record = *in;
	size_t header = reader->longer ? LONGER_HEADER : RECORD_HEADER;
	if (record.len < header)
		return want(reader, header);
	uint32_t seconds = field_order32(record, 0, reader->little);
	uint32_t fraction = field_order32(record, 4, reader->little);
	uint32_t captured = field_order32(record, 8, reader->little);
	uint32_t original = field_order32(record, 12, reader->little);
	if (captured > CAPTURE_FRAME_MAX) {
		error_set(err,
			"frame %" PRIu64 ", octet %" PRIu64 ": a frame of %" PRIu32
			" octets, more than %zu: the file is damaged here",
			reader->counts.frames + 1, reader->at, captured, CAPTURE_FRAME_MAX);
		return CAPTURE_BROKEN;
	}
	if (record.len - header < captured)
		return want(reader, header + captured);
	struct bytes bytes = field_first(field_after(record, header), captured);
	if (original <= captured) {
		original = captured;
		/* Only a frame that was captured whole ends in its check sequence. */
		if (reader->fcs > 0 && bytes.len >= reader->fcs) {
			bytes.len -= reader->fcs;
			original -= reader->fcs;
		}
	}
	*out = (struct frame){
		.time_ns = seconds * UINT64_C(1000000000) + fraction * (reader->nano ? UINT64_C(1) : UINT64_C(1000)),
		.number = ++reader->counts.frames,
		.at = reader->at,
		.bytes = bytes,
		.original = original,
		.link = reader->link,
	};
	reader->counts.octets += bytes.len;
	reader->at += header + captured;
	*in = field_after(record, header + captured);
	return CAPTURE_FRAME;
}
