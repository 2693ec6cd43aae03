#include "agent/share_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *name)
{
	const char *value = secure_getenv(name);
	return value && value[0] ? value : NULL;
}

static bool read_number(const char *name, uint64_t most, uint64_t *out)
{
	const char *text = value_of(name);
	char *end;
	if (!text)
		return true;
	unsigned long long value = strtoull(text, &end, 10);
	if (*end || text[0] < '0' || text[0] > '9' || value > most)
		return false;
	*out = value;
	return true;
}

static bool read_small(const char *name, uint32_t most, uint32_t *out)
{
	uint64_t value = *out;
	bool ok = read_number(name, most, &value);
	*out = (uint32_t)value;
	return ok;
}

/* One of two words, the first of which is meant when it is not set. Another counts as the second. */
static bool read_word(const char *name, const char *first, const char *second, bool *is_second)
{
	const char *text = value_of(name);
	*is_second = text && strcmp(text, first) != 0;
	return !*is_second || strcmp(text, second) == 0;
}

static bool copy(char *to, size_t cap, const char *text)
{
	int n = snprintf(to, cap, "%s", text);
	return n >= 0 && (size_t)n < cap;
}

bool share_settings_read(struct share_settings *out)
{
	const char *address = value_of(SHARE_ADDRESS), *fifo = value_of(SHARE_FIFO), *readers = value_of(SHARE_READERS);
	*out = (struct share_settings){.deadline_ms = SHARE_DEADLINE_DEFAULT,
		.rotate_bytes = SHARE_ROTATE_BYTES_DEFAULT,
		.rotate_seconds = SHARE_ROTATE_SECONDS_DEFAULT};
	if (!address)
		return true;
	out->on = true;
	bool fits = copy(out->address, sizeof(out->address), address) &&
	            copy(out->fifo, sizeof(out->fifo), fifo ? fifo : "") &&
	            copy(out->readers, sizeof(out->readers), readers ? readers : "");
	bool words = read_word(SHARE_RULE, "open", "closed", &out->closed);
	/* What is no mode is the one that gives less. */
	words = read_word(SHARE_MODE, "live", "after-rotation", &out->after_rotation) && words;
	words = read_word(SHARE_ROTATE_WHEN, "writes", "calls", &out->rotate_calls) && words;
	if (words && fits && read_small(SHARE_UID, UINT32_MAX, &out->uid) &&
		read_small(SHARE_DEADLINE, SHARE_DEADLINE_MAX, &out->deadline_ms) &&
		read_number(SHARE_ROTATE_BYTES, SHARE_ROTATE_BYTES_MAX, &out->rotate_bytes) &&
		read_small(SHARE_ROTATE_SECONDS, SHARE_ROTATE_SECONDS_MAX, &out->rotate_seconds))
		return true;
	out->closed = true;
	return false;
}

static bool put_number(const char *name, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return setenv(name, text, 1) == 0;
}

bool share_settings_export(const struct share_settings *settings)
{
	return setenv(SHARE_ADDRESS, settings->address, 1) == 0 && put_number(SHARE_UID, settings->uid) &&
	       put_number(SHARE_DEADLINE, settings->deadline_ms) &&
	       put_number(SHARE_ROTATE_BYTES, settings->rotate_bytes) &&
	       put_number(SHARE_ROTATE_SECONDS, settings->rotate_seconds) &&
	       setenv(SHARE_ROTATE_WHEN, settings->rotate_calls ? "calls" : "writes", 1) == 0 &&
	       setenv(SHARE_MODE, settings->after_rotation ? "after-rotation" : "live", 1) == 0 &&
	       setenv(SHARE_RULE, settings->closed ? "closed" : "open", 1) == 0 &&
	       (settings->readers[0] ? setenv(SHARE_READERS, settings->readers, 1) : unsetenv(SHARE_READERS)) == 0 &&
	       (settings->fifo[0] ? setenv(SHARE_FIFO, settings->fifo, 1) : unsetenv(SHARE_FIFO)) == 0;
}
