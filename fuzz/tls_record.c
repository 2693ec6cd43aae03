/* Records: the reader never takes octets that are not there, and the count of missing ones leads to a record. */
#include "tls/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	while (true) {
		struct bytes before = in;
		struct record record;
		size_t missing = record_missing(in);
		enum record_result result = record_read(&in, &record);
		if ((result == RECORD_NEED_MORE) != (missing > 0))
			abort();
		if (result != RECORD_OK) {
			if (in.data != before.data || in.len != before.len)
				abort();
			return 0;
		}
		if (before.len - in.len != RECORD_HEADER + record.fragment.len || !record_type_name(record.type))
			abort();
	}
}
