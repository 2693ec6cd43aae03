/*
 * HTTP/1, both directions, in pieces, with gaps and halves: each request and each response without one ends exactly once,
 * bodies come without holes, and nothing is said after the end.
 */
#include "decode/decoder.h"

#include "decode_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	watch_run(DECODER_HTTP1, bytes_of(data, size));
	return 0;
}
