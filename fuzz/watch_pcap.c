/*
 * Classic captures: in one piece and octet by octet the same frames come out, all inside the input, and no octet is
 * taken twice.
 */
#include "watch/pcap.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* With `step` octets more at a time. Returns a sum over what came. */
static uint64_t run(struct bytes all, size_t step)
{
	struct pcap_reader reader = {0};
	uint64_t sum = 0;
	size_t taken = 0, end = 0;
	while (true) {
		struct bytes in = bytes_of(all.data + taken, end - taken);
		struct frame frame;
		struct error err;
		enum capture_result result = pcap_reader_next(&reader, &in, &frame, &err);
		taken = end - in.len;
		if (reader.at != taken)
			abort();
		if (result == CAPTURE_BROKEN)
			return sum * 31 + taken;
		if (result == CAPTURE_FRAME) {
			if (frame.original < frame.bytes.len || frame.number != reader.counts.frames)
				abort();
			for (size_t i = 0; i < frame.bytes.len; i++)
				sum = sum * 31 + frame.bytes.data[i];
			continue;
		}
		if (reader.need <= in.len)
			abort();
		if (end == all.len)
			return sum * 31 + taken;
		end = all.len - end < step ? all.len : end + step;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes all = bytes_of(data, size);
	if (run(all, size) != run(all, 1) || run(all, 13) != run(all, 29))
		abort();
	return 0;
}
