/* What a form sends to the page of `overt local`: a value is text without a NUL that fits, or there is none. */
#include "proxy/local_form.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[64];
	struct intake_http http = {0};
	if (form_value(bytes_of(data, size), "what", out, sizeof(out)) &&
		(memchr(out, '\0', sizeof(out)) == NULL || out[0] == ' '))
		abort();
	enum intake_http_result result = intake_http_read(&http, bytes_of(data, size), bytes_str("overt-local"));
	if (result != INTAKE_HTTP_ORIGIN && result != INTAKE_HTTP_ABSOLUTE)
		return 0;
	/* What is not meant for us is answered by nothing else. */
	if (form_meant_for_us(&http, "overt.internal", 8088) && http.target.host[0] == '\0')
		abort();
	(void)!form_same_origin(&http, "overt.internal");
	return 0;
}
