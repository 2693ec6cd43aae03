#include "agent/share_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *name)
{
	const char *value = secure_getenv(name);
	return value && value[0] ? value : NULL;
}

static bool read_number(const char *name, uint32_t most, uint32_t *out)
{
	const char *text = value_of(name);
	char *end;
	if (!text)
		return true;
	unsigned long long value = strtoull(text, &end, 10);
	if (*end || text[0] < '0' || text[0] > '9' || value > most)
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool copy(char *to, size_t cap, const char *text)
{
	int n = snprintf(to, cap, "%s", text);
	return n >= 0 && (size_t)n < cap;
}

bool share_settings_read(struct share_settings *out)
{
	const char *address = value_of(SHARE_ADDRESS), *fifo = value_of(SHARE_FIFO);
	*out = (struct share_settings){.deadline_ms = SHARE_DEADLINE_DEFAULT};
	if (!address)
		return true;
	out->on = true;
	const char *rule = value_of(SHARE_RULE);
	out->closed = rule && strcmp(rule, "open") != 0;
	bool fits = copy(out->address, sizeof(out->address), address) &&
	            copy(out->fifo, sizeof(out->fifo), fifo ? fifo : "");
	if ((!rule || !out->closed || strcmp(rule, "closed") == 0) && fits &&
		read_number(SHARE_UID, UINT32_MAX, &out->uid) &&
		read_number(SHARE_DEADLINE, SHARE_DEADLINE_MAX, &out->deadline_ms))
		return true;
	out->closed = true;
	return false;
}

static bool put_number(const char *name, uint32_t value)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", value);
	return setenv(name, text, 1) == 0;
}

bool share_settings_export(const struct share_settings *settings)
{
	return setenv(SHARE_ADDRESS, settings->address, 1) == 0 && put_number(SHARE_UID, settings->uid) &&
	       put_number(SHARE_DEADLINE, settings->deadline_ms) &&
	       setenv(SHARE_RULE, settings->closed ? "closed" : "open", 1) == 0 &&
	       (settings->fifo[0] ? setenv(SHARE_FIFO, settings->fifo, 1) : unsetenv(SHARE_FIFO)) == 0;
}
