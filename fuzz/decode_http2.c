/*
 * HTTP/2, both directions, in pieces, with gaps: each request ends exactly once, bodies come without holes, and nothing
 * is said after the end.
 */
#include "decode/decoder.h"

#include "decode_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	watch_run(DECODER_HTTP2, bytes_of(data, size));
	return 0;
}
