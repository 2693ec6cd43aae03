/* One body of the extension accord: what its reader takes, its writer gives back octet for octet. */
#ifndef FUZZ_ACCORD_BODY_H
#define FUZZ_ACCORD_BODY_H

#include "accord/body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_ACCORD_BODY(thing)                                                                                        \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                                   \
	{                                                                                                              \
		static uint8_t again[65536];                                                                           \
		struct thing value;                                                                                    \
		struct bytes written;                                                                                  \
		enum accord_body_result result = thing##_read(bytes_of(data, size), &value);                           \
		if (!*accord_body_text(result))                                                                        \
			abort();                                                                                       \
		if (result != ACCORD_BODY_OK)                                                                          \
			return 0;                                                                                      \
		struct writer w = writer_over(again, sizeof(again));                                                   \
		thing##_write(&w, &value);                                                                             \
		if (!writer_done(&w, &written) || !bytes_equal(written, bytes_of(data, size)))                         \
			abort();                                                                                       \
		return 0;                                                                                              \
	}

#endif
