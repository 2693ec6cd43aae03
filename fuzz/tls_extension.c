/* Extension blocks: what passes the check iterates to its end, in that many steps, and every type is found again. */
#include "tls/extension.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes block = bytes_of(data, size), rest = block;
	struct extension ext, found;
	size_t count = 0, steps = 0;
	uint16_t type;
	if (size > 65535)
		return 0;
	enum extension_result result = extension_check(block, &count, &type);
	while (extension_next(&rest, &ext)) {
		steps++;
		if (result == EXTENSION_OK && steps <= 100 &&
			(!extension_find(block, ext.type, &found) || found.data.len != ext.data.len))
			abort();
	}
	if (result == EXTENSION_OK && (rest.len != 0 || steps != count))
		abort();
	if (result == EXTENSION_TRUNCATED && rest.len == 0)
		abort();
	return 0;
}
