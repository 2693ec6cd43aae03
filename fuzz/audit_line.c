/* A line of an audit log, as somebody may have left it. */
#include "audit/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes line = bytes_of(data, size);
	struct audit_member member;
	char plain[64];
	uint64_t seq;
	bool numbered = audit_line_seq(line, &seq);
	if (numbered && (size == 0 || data[size - 1] != '}'))
		__builtin_trap();
	if (!audit_line_open(&line))
		return 0;
	while (audit_line_next(&line, &member)) {
		if (audit_json_plain(member.value, plain, sizeof(plain)) > member.value.len)
			__builtin_trap();
	}
	return 0;
}
