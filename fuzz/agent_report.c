/* What a program of the run sends to `overt exec`: read strictly, and written back octet for octet. */
#include "agent/report.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report report;
	static uint8_t room[REPORT_MAX];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes again;
	if (report_read(bytes_of(data, size), &report) != REPORT_OK)
		return 0;
	report_write(&w, &report);
	if (!writer_done(&w, &again) || !bytes_equal(again, bytes_of(data, size)))
		abort();
	return 0;
}
