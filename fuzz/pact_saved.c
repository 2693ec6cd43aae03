/* Saved proofs: what is read is written back octet for octet. */
#include "pact/saved.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct saved saved;
	struct bytes in = bytes_of(data, size);
	struct bytes out;
	if (size > SAVED_MAX || saved_read(in, &saved) != SAVED_OK)
		return 0;
	uint8_t *room = malloc(size);
	struct writer w = writer_over(room, room ? size : 0);
	if (!room || !saved_write(&w, &saved) || !writer_done(&w, &out) || !bytes_equal(in, out))
		abort();
	free(room);
	return 0;
}
