/*
 * base/log.h — one line per event: time, level, process, event, key=value … Stable names, values quoted and cleaned.
 * Secrets and plaintext are never passed here.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/bytes.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_field {
	const char *key; /* NULL ends a list */
	const char *text;
	struct bytes raw;
	uint64_t number;
	enum { LOG_TEXT, LOG_NUMBER, LOG_RAW } kind;
};

#define LOG_S(k, v) ((struct log_field){.key = (k), .text = (v), .kind = LOG_TEXT})
#define LOG_N(k, v) ((struct log_field){.key = (k), .number = (v), .kind = LOG_NUMBER})
#define LOG_B(k, v) ((struct log_field){.key = (k), .raw = (v), .kind = LOG_RAW})

/* `event` is a short stable phrase: "accept paused". Fields follow: log_warn("accept paused", LOG_N("open", n)); */
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, (struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_warn(event, ...)  log_write(LOG_LEVEL_WARN, event, (struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_info(event, ...)  log_write(LOG_LEVEL_INFO, event, (struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, (struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

void log_write(enum log_level level, const char *event, const struct log_field *fields);

/* `who` (static text) stands in every line: "worker 1". Lines go to `fd`, which stays the caller's; default: stderr. */
void log_setup(const char *who, int fd, enum log_level most);
/* Lines begin with <3> to <7>, as sd-daemon(3) says, so that the journal knows their priorities. Default: they do not. */
void log_priorities(bool on);
must_check enum log_level log_level_now(void);
/* Lines that could not be written because the descriptor was full or broken. */
must_check uint64_t log_lost(void);

#endif
