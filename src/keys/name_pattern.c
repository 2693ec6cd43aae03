#include "keys/name_pattern.h"

bool name_pattern_fits(struct bytes pattern, struct bytes name)
{
	if (bytes_equal(pattern, bytes_str("*")))
		return true;
	bool below = bytes_starts(pattern, bytes_str("*."));
	bool both = !below && bytes_starts(pattern, bytes_str("."));
	if (below)
		(void)!bytes_skip(&pattern, 1); /* its dot stays */
	if (both && bytes_equal_nocase(name, bytes_of(pattern.data + 1, pattern.len - 1)))
		return true;
	if (!below && !both)
		return bytes_equal_nocase(pattern, name);
	struct bytes tail = name;
	return name.len > pattern.len && bytes_skip(&tail, name.len - pattern.len) && bytes_equal_nocase(tail, pattern);
}
