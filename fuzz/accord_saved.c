/* A saved proof: what is read is written back octet for octet. */
#include "accord/saved.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[ACCORD_MAX_SAVED];
	struct accord_saved saved;
	struct error err = {""};
	struct bytes written;
	if (!accord_saved_read(bytes_of(data, size), &saved, &err)) {
		if (!err.text[0])
			abort();
		return 0;
	}
	struct writer w = writer_over(again, sizeof(again));
	accord_saved_write(&w, &saved);
	if (!writer_done(&w, &written) || !bytes_equal(written, bytes_of(data, size)))
		abort();
	return 0;
}
