/* accord/purpose.h — the codes of an introduction's purpose and their names (docs/accord.md, 3.3). */
#ifndef ACCORD_PURPOSE_H
#define ACCORD_PURPOSE_H

#include "base/bytes.h"

#define ACCORD_PURPOSE_TEXT 24 /* octets that accord_purpose_text writes at most */

/* What to say of a text that is none; %s is the text. */
#define ACCORD_PURPOSE_EXPECTED                                                                                        \
	"unknown purpose \"%s\"; it is unstated, malware, data-loss, acceptable-use, diagnosis, caching, archiving, "  \
	"or a "                                                                                                        \
	"number up to 255"

/* "malware"; NULL for codes that have no name. */
must_check const char *accord_purpose_name(uint8_t code);
/* A name, or a number from 0 to 255. */
must_check bool accord_purpose_read(const char *text, uint8_t *out);
/* The name, or the number. Returns `out`. */
const char *accord_purpose_text(uint8_t code, char out[ACCORD_PURPOSE_TEXT]);

#endif
