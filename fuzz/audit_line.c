/* A line of an audit log, as somebody may have left it. */
#include "audit/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_place at = {0};
	struct bytes line = bytes_of(data, size);
	if (audit_line_check(line, &at) == AUDIT_INTACT && (at.seq != 1 || at.offset != size + 1))
		__builtin_trap();
	return 0;
}
