#include "accord_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t only[] = {ACCORD_DEMAND, ACCORD_VERSION};
	bool taken = accord_demand_read(bytes_of(data, size)) == ACCORD_BODY_OK;
	if (taken != bytes_equal(bytes_of(data, size), bytes_of(only, sizeof(only))))
		abort();
	return 0;
}
