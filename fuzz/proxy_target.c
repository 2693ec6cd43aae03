/* A target that is accepted prints as text that is read back as the same target. */
#include "proxy/target.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target target, again;
	char text[TARGET_TEXT_MAX];
	if (target_parse(bytes_of(data, size), 0, &target) == TARGET_OK) {
		size_t n = target_print(&target, text);
		if (n != strlen(text) || target_parse(bytes_str(text), 0, &again) != TARGET_OK)
			abort();
		if (strcmp(again.host, target.host) != 0 || again.port != target.port || again.is_ip != target.is_ip)
			abort();
	}
	if (target_from_host(bytes_of(data, size), 443, &target) == TARGET_OK && target.host[0] == '\0')
		abort();
	return 0;
}
