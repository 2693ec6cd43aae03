/* Names and ranges from strangers: what is accepted has one form, which reads as itself. */
#include "base/error.h"
#include "pki/name.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct bytes in)
{
	struct subject_name name;
	struct subject_name again;
	if (subject_name_parse(in, &name) != NAME_OK)
		return;
	if (subject_name_parse(subject_name_bytes(&name), &again) != NAME_OK || !subject_name_equal(&name, &again))
		abort();
	if (!name.is_ip && (!dns_pattern_valid(subject_name_bytes(&name)) ||
				   !dns_pattern_matches(subject_name_bytes(&name), &name)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	check_name(in);
	struct name_range range;
	struct name_range again;
	struct error err;
	char printed[300];
	if (name_range_parse(in, &range, &err)) {
		name_range_print(&range, printed, sizeof(printed));
		if (!name_range_parse(bytes_str(printed), &again, &err) || !name_range_equal(&range, &again))
			abort();
	}
	static struct name_ranges ranges;
	ranges.count = 0;
	(void)!name_ranges_parse(in, &ranges, &err);
	return 0;
}
