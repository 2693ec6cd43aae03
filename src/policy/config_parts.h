/* policy/config_parts.h — what the files of the configuration share. For this room only. */
#ifndef POLICY_CONFIG_PARTS_H
#define POLICY_CONFIG_PARTS_H

#include "base/yaml.h"
#include "policy/config.h"

/* Whether values of the type are lists: each new value is added to those before it. */
must_check bool config_type_is_list(enum config_type type);
/* Takes the option's value away: NULL, zero, an empty list. */
void config_value_clear(struct config *config, const struct config_option *option);
/*
 * Sets the value (lists: adds one) from text. Relative paths are resolved against `folder` ("" or ending in a slash).
 * False with what is wrong in `err`, without naming option or place.
 */
must_check bool config_value_set(struct config *config, const struct config_option *option, const char *text,
	const char *folder, struct error *err);
/* Adds one client certificate. */
must_check bool config_cert_add(struct config *config, const struct config_option *option, const char *name,
	const char *cert, const char *key, const char *folder, struct error *err);

/* The option of that key, and its place in the table; NULL when there is none. */
must_check const struct config_option *config_option_find(struct bytes key);
must_check size_t config_option_index(const struct config_option *option);
/* The field of an option, as the type says. */
static inline void *config_field(struct config *config, const struct config_option *option)
{
	return (char *)config + option->at;
}

#endif
