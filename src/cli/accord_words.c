#include "cli/accord_words.h"

#include <string.h>

bool accord_rule_of(const char *word, enum accord_rule *out)
{
	*out = strcmp(word, "prefer") == 0 ? ACCORD_PREFER : ACCORD_REQUIRE;
	return *out == ACCORD_PREFER || strcmp(word, "require") == 0;
}

bool accord_roles_of(const char *word, uint8_t *out)
{
	*out = strcmp(word, "reader") == 0   ? ACCORD_READER
	       : strcmp(word, "writer") == 0 ? ACCORD_WRITER
	       : strcmp(word, "both") == 0   ? ACCORD_ANY_ROLE
	                                     : 0;
	return *out != 0;
}
