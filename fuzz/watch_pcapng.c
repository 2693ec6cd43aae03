/*
 * Captures made of blocks: in one piece and octet by octet the same frames and secrets come out, all inside the input.
 */
#include "watch/pcapng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sums {
	uint64_t frames, secrets, at;
};

static uint64_t add(uint64_t sum, struct bytes bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		sum = sum * 31 + bytes.data[i];
	return sum;
}

/* With `step` octets more at a time. */
static struct sums run(struct bytes all, size_t step, bool secrets_only)
{
	struct pcapng_reader reader = {.secrets_only = secrets_only};
	struct sums sums = {0, 0, 0};
	size_t taken = 0, end = 0;
	while (true) {
		struct bytes in = bytes_of(all.data + taken, end - taken);
		struct capture_item item;
		struct error err;
		enum capture_result result = pcapng_reader_next(&reader, &in, &item, &err);
		taken = end - in.len;
		if (reader.at != taken)
			abort();
		if (result == CAPTURE_FRAME) {
			if (secrets_only || item.frame.original < item.frame.bytes.len)
				abort();
			sums.frames = add(sums.frames + item.frame.time_ns + item.frame.link, item.frame.bytes);
		} else if (result == CAPTURE_SECRETS) {
			sums.secrets = add(sums.secrets, item.secrets.text);
			if (item.secrets.at + item.secrets.text.len != taken)
				abort();
		} else if (result == CAPTURE_BROKEN || end == all.len) {
			break;
		} else {
			if (reader.need <= in.len)
				abort();
			end = all.len - end < step ? all.len : end + step;
		}
	}
	sums.at = taken;
	pcapng_reader_free(&reader);
	return sums;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes all = bytes_of(data, size);
	struct sums whole = run(all, size, false), pieces = run(all, 1, false);
	if (whole.frames != pieces.frames || whole.secrets != pieces.secrets || whole.at != pieces.at)
		abort();
	(void)run(all, 7, true);
	return 0;
}
