/* overt assess — what is true of an endpoint or a path: who is exposed, and to what. */
#include "assess/server.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct request {
	const char *word, *html, *name, *trust;
	uint64_t timeout_ns, total_ns, pause_ns;
	bool json, no_colour, has_least;
	enum grade least;
};

static const struct subject {
	const char *name, *usage, *line;
	struct report *(*run)(const struct request *request, struct error *err);
} subjects[];

ARGUMENT_TEXT(read_html, request, html)
ARGUMENT_TEXT(read_name, request, name)
ARGUMENT_TEXT(read_trust, request, trust)
ARGUMENT_FLAG(read_json, request, json)
ARGUMENT_FLAG(read_no_colour, request, no_colour)

static bool read_span(const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
	return text_duration(bytes_str(value), out) && *out >= least && *out <= most;
}

static bool read_timeout(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_span(value, 100 * NS_PER_MS, 60 * NS_PER_S, &((struct request *)ctx)->timeout_ns);
}

static bool read_total(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_span(value, NS_PER_S, 3600 * NS_PER_S, &((struct request *)ctx)->total_ns);
}

static bool read_pause(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_span(value, 0, 60 * NS_PER_S, &((struct request *)ctx)->pause_ns);
}

static bool read_least(void *ctx, const char *value, struct error *err)
{
	struct request *request = ctx;
	(void)err;
	request->has_least = grade_parse(value, &request->least);
	return request->has_least;
}
