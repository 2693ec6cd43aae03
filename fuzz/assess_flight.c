/* A server's first flight, whole and octet by octet: both must come to the same end. */
#include "assess/flight.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flight whole, cut;
	flight_begin(&whole);
	flight_begin(&cut);
	flight_take(&whole, bytes_of(data, size));
	for (size_t i = 0; i < size && cut.kind == FLIGHT_MORE; i++)
		flight_take(&cut, bytes_of(data + i, 1));
	if (size < FLIGHT_MAX && (whole.kind != cut.kind || whole.suite != cut.suite || whole.p_len != cut.p_len))
		abort();
	flight_free(&whole);
	flight_free(&cut);
	return 0;
}
