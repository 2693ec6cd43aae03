#include "accord/purpose.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	"unstated", "malware", "data-loss", "acceptable-use", "diagnosis", "caching", "archiving"};

const char *accord_purpose_name(uint8_t code)
{
	return code < sizeof(names) / sizeof(names[0]) ? names[code] : NULL;
}

bool accord_purpose_read(const char *text, uint8_t *out)
{
	uint64_t number;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (uint8_t)i;
			return true;
		}
	}
	if (!text_number(bytes_str(text), UINT8_MAX, &number))
		return false;
	*out = (uint8_t)number;
	return true;
}

const char *accord_purpose_text(uint8_t code, char out[ACCORD_PURPOSE_TEXT])
{
	const char *name = accord_purpose_name(code);
	if (name)
		snprintf(out, ACCORD_PURPOSE_TEXT, "%s", name);
	else
		snprintf(out, ACCORD_PURPOSE_TEXT, "%u", code);
	return out;
}
