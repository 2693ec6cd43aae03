#include "base/log.h"

#include "base/text.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_OCTETS 4096

static struct {
	const char *who;
	int fd;
	enum log_level most;
	bool priorities;
	uint64_t lost;
} state = {.who = "overt", .fd = STDERR_FILENO, .most = LOG_LEVEL_INFO};

void log_setup(const char *who, int fd, enum log_level most)
{
	state.who = who;
	state.fd = fd;
	state.most = most;
}

void log_priorities(bool on)
{
	state.priorities = on;
}

enum log_level log_level_now(void)
{
	return state.most;
}

uint64_t log_lost(void)
{
	return __atomic_load_n(&state.lost, __ATOMIC_RELAXED);
}

static size_t put(char *line, size_t at, struct bytes text)
{
	size_t room = LINE_MAX_OCTETS - 2 - at;
	size_t n = text.len < room ? text.len : room;
	memcpy(line + at, text.data, n);
	return at + n;
}

static bool bare(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
			return false;
	}
	return text.len > 0;
}

static size_t put_quoted(char *line, size_t at, struct bytes text)
{
	char clean[1024];
	text_clean(clean, sizeof(clean), text);
	struct bytes shown = bytes_str(clean);
	if (bare(shown))
		return put(line, at, shown);
	at = put(line, at, bytes_str("\""));
	for (size_t i = 0; i < shown.len; i++) {
		if (shown.data[i] == '"')
			at = put(line, at, bytes_str("\\"));
		at = put(line, at, bytes_of(shown.data + i, 1));
	}
	return put(line, at, bytes_str("\""));
}

static size_t put_field(char *line, size_t at, const struct log_field *field)
{
	at = put(line, at, bytes_str(" "));
	at = put(line, at, bytes_str(field->key));
	at = put(line, at, bytes_str("="));
	char number[24];
	switch (field->kind) {
	case LOG_NUMBER:
		snprintf(number, sizeof(number), "%llu", (unsigned long long)field->number);
		return put(line, at, bytes_str(number));
	case LOG_RAW:
		return put_quoted(line, at, field->raw);
	default:
		return put_quoted(line, at, bytes_str(field->text ? field->text : "-"));
	}
}

static size_t put_stamp(char *line, enum log_level level)
{
	static const char *const names[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
	static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
	size_t at = state.priorities ? put(line, 0, bytes_str(priorities[level])) : 0;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct tm utc;
	gmtime_r(&now.tv_sec, &utc);
	char stamp[128];
	size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03ldZ %s %s: ", now.tv_nsec / 1000000, names[level], state.who);
	return put(line, at, bytes_str(stamp));
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	if (level > state.most)
		return;
	char line[LINE_MAX_OCTETS];
	size_t at = put_stamp(line, level);
	at = put(line, at, bytes_str(event));
	for (; fields->key; fields++)
		at = put_field(line, at, fields);
	line[at++] = '\n';
	/* One write per line: lines of several processes in one file stay whole (O_APPEND, or a pipe under PIPE_BUF). */
	if (write(state.fd, line, at) != (ssize_t)at)
		__atomic_fetch_add(&state.lost, 1, __ATOMIC_RELAXED);
}
