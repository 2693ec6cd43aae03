#include "agent/settings.h"

#include "accord/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *name)
{
	const char *value = secure_getenv(name);
	return value && value[0] ? value : NULL;
}

static bool read_role(const char *text, uint8_t *out)
{
	*out = ACCORD_READER;
	if (!text || strcmp(text, "reader") == 0)
		return true;
	*out = strcmp(text, "writer") == 0 ? ACCORD_WRITER : ACCORD_ANY_ROLE;
	return *out == ACCORD_WRITER || strcmp(text, "both") == 0;
}

static bool read_proxies(const char *text, struct agent_settings *out)
{
	char *rest = NULL;
	if (!text)
		return true;
	if (strlen(text) >= sizeof(out->names))
		return false;
	snprintf(out->names, sizeof(out->names), "%s", text);
	for (char *at = strtok_r(out->names, ",", &rest); at; at = strtok_r(NULL, ",", &rest)) {
		if (out->proxies == AGENT_MAX_PROXIES)
			return false;
		out->proxy[out->proxies++] = at;
	}
	return true;
}

bool agent_settings_read(struct agent_settings *out)
{
	memset(out, 0, sizeof(*out));
	const char *rule = value_of(AGENT_RULE);
	if (!rule)
		return true;
	out->on = true;
	out->require = strcmp(rule, "prefer") != 0;
	out->anchors = value_of(AGENT_ANCHORS);
	out->trust = value_of(AGENT_TRUST);
	out->report = value_of(AGENT_REPORT);
	return (!out->require || strcmp(rule, "require") == 0) && out->anchors &&
	       read_role(value_of(AGENT_ROLE), &out->roles) && read_proxies(value_of(AGENT_PROXIES), out);
}

/* Sets, or removes what an outer run has left. */
static bool put(const char *name, const char *value)
{
	return value ? setenv(name, value, 1) == 0 : unsetenv(name) == 0;
}

bool agent_settings_export(const struct agent_settings *settings)
{
	char names[sizeof(settings->names)] = "";
	size_t len = 0;
	for (size_t i = 0; i < settings->proxies; i++) {
		int n = snprintf(names + len, sizeof(names) - len, "%s%s", i ? "," : "", settings->proxy[i]);
		if (n < 0 || (size_t)n >= sizeof(names) - len)
			return false;
		len += (size_t)n;
	}
	const char *role = settings->roles == ACCORD_ANY_ROLE ? "both"
	                   : settings->roles == ACCORD_WRITER ? "writer"
	                                                      : "reader";
	return put(AGENT_RULE, settings->require ? "require" : "prefer") && put(AGENT_ANCHORS, settings->anchors) &&
	       put(AGENT_TRUST, settings->trust) && put(AGENT_ROLE, role) &&
	       put(AGENT_PROXIES, len > 0 ? names : NULL) && put(AGENT_REPORT, settings->report);
}
