#include "agent/settings.h"

#include "accord/body.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *name)
{
	const char *value = secure_getenv(name);
	return value && value[0] ? value : NULL;
}

/* What stays: servers write titles over the place where their environment stood. False when there is no room. */
static bool copy(struct agent_settings *out, const char *name, const char **into)
{
	const char *value = value_of(name);
	size_t len = value ? strlen(value) + 1 : 0;
	if (len > sizeof(out->texts) - out->texts_len)
		return false;
	char *at = out->texts + out->texts_len;
	if (value)
		memcpy(at, value, len);
	out->texts_len += len;
	*into = value ? at : NULL;
	return true;
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

static bool digit_of(char c, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;
	*out = at ? (uint8_t)(at - digits) : 0;
	return at != NULL;
}

/* base/text.h is not in the preloaded object. */
static bool read_token(const char *text, uint8_t out[AGENT_TOKEN_OCTETS])
{
	if (!text)
		return true;
	if (strlen(text) != (size_t)2 * AGENT_TOKEN_OCTETS)
		return false;
	for (size_t i = 0; i < AGENT_TOKEN_OCTETS; i++) {
		uint8_t high, low;
		if (!digit_of(text[2 * i], &high) || !digit_of(text[2 * i + 1], &low))
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool agent_settings_read(struct agent_settings *out)
{
	memset(out, 0, sizeof(*out));
	const char *rule = value_of(AGENT_RULE);
	bool server = value_of(AGENT_SERVER) != NULL;
	out->on = out->require = rule || server; /* a server without its rules is none */
	if (!read_token(value_of(AGENT_TOKEN), out->token) || !copy(out, AGENT_SERVER, &out->server) ||
		!copy(out, AGENT_REPORT, &out->report) || !copy(out, AGENT_ANCHORS, &out->anchors) ||
		!copy(out, AGENT_TRUST, &out->trust) || !copy(out, AGENT_APPROVAL, &out->approval))
		return false;
	if (!rule || server)
		return !rule;
	out->require = strcmp(rule, "prefer") != 0;
	return (!out->require || strcmp(rule, "require") == 0) && out->anchors &&
	       read_role(value_of(AGENT_ROLE), &out->roles) && read_proxies(value_of(AGENT_PROXIES), out);
}

/* Sets, or removes what an outer run has left. */
static bool put(const char *name, const char *value)
{
	return value ? setenv(name, value, 1) == 0 : unsetenv(name) == 0;
}

static bool export_server(const struct agent_settings *settings)
{
	char token[2 * AGENT_TOKEN_OCTETS + 1];
	for (size_t i = 0; i < AGENT_TOKEN_OCTETS; i++)
		snprintf(token + 2 * i, 3, "%02x", settings->token[i]);
	return put(AGENT_SERVER, settings->server) && put(AGENT_REPORT, settings->report) && put(AGENT_TOKEN, token);
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
	if (settings->server)
		return put(AGENT_RULE, NULL) && put(AGENT_ANCHORS, NULL) && put(AGENT_TRUST, NULL) &&
		       put(AGENT_ROLE, NULL) && put(AGENT_PROXIES, NULL) && put(AGENT_APPROVAL, NULL) &&
		       export_server(settings);
	return put(AGENT_RULE, settings->require ? "require" : "prefer") && put(AGENT_ANCHORS, settings->anchors) &&
	       put(AGENT_TRUST, settings->trust) && put(AGENT_ROLE, role) &&
	       put(AGENT_PROXIES, len > 0 ? names : NULL) && put(AGENT_APPROVAL, settings->approval) &&
	       export_server(settings);
}
