/* cli/accord_words.h — the words of options that say what a client of Accord accepts. */
#ifndef CLI_ACCORD_WORDS_H
#define CLI_ACCORD_WORDS_H

#include "accord/client.h"

/* "require" or "prefer". False for anything else. */
must_check bool accord_rule_of(const char *word, enum accord_rule *out);
/* "reader", "writer" or "both": a set of enum accord_role. False for anything else. */
must_check bool accord_roles_of(const char *word, uint8_t *out);

#endif
