#include "flows.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char made[64];

static void remove_all(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", made);
	if (system(command) != 0)
		perror(made);
}

const char *folder(void)
{
	if (!made[0]) {
		snprintf(made, sizeof(made), "/tmp/overt-test-XXXXXX");
		if (!mkdtemp(made))
			abort();
		atexit(remove_all);
	}
	return made;
}

const char *file_in(const char *name)
{
	static char paths[8][160];
	static unsigned at;
	char *path = paths[at++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/%s", folder(), name);
	return path;
}

char *slurp(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	char *all = calloc(1, 4 << 20);
	if (!file || !all)
		abort();
	*len = fread(all, 1, (4 << 20) - 1, file);
	fclose(file);
	return all;
}

void give(struct sink *sink, struct flow *flow, const struct event *event)
{
	flow_apply(flow, event);
	if (sink->ops->event)
		sink->ops->event(sink, flow, event);
}

struct flow *flow_opened(struct sink *sink, uint64_t id)
{
	struct event open = {
		.kind = EVENT_OPEN,
		.flow = id,
		.time_ns = T0,
		.open = {.client = {.family = 4, .ip = {192, 0, 2, 1}, .port = 40000},
			.server = {.family = 4, .ip = {198, 51, 100, 7}, .port = 443},
			.host = bytes_str("www.example.org"),
			.port = 443,
			.intake = INTAKE_CONNECT,
			.worker = 1},
	};
	struct flow *flow = flow_new(1, &open);
	if (!flow)
		abort();
	give(sink, flow, &open);
	return flow;
}

void flow_verdict(struct sink *sink, struct flow *flow, enum flow_action action, const char *rule, const char *reason)
{
	struct event event = {
		.kind = EVENT_VERDICT,
		.flow = flow->id,
		.time_ns = T0 + 1000,
		.verdict = {.action = action, .pass = 1, .rule = bytes_str(rule), .reason = bytes_str(reason)},
	};
	give(sink, flow, &event);
}

void flow_verdict_unmasked(struct sink *sink, struct flow *flow, const char *rule)
{
	struct event event = {
		.kind = EVENT_VERDICT,
		.flow = flow->id,
		.time_ns = T0 + 1000,
		.verdict = {.action = ACTION_INSPECT, .pass = 2, .rule = bytes_str(rule), .unmasked = true},
	};
	give(sink, flow, &event);
}

void flow_data(struct sink *sink, struct flow *flow, enum flow_direction direction, uint64_t offset, const char *text)
{
	struct event event = {
		.kind = EVENT_DATA,
		.flow = flow->id,
		.time_ns = T0 + 2000000,
		.data = {.direction = direction, .offset = offset, .bytes = bytes_str(text)},
	};
	give(sink, flow, &event);
}

void flow_closed(struct sink *sink, struct flow *flow, enum flow_ending ending, const char *text)
{
	struct event event = {
		.kind = EVENT_CLOSE,
		.flow = flow->id,
		.time_ns = T0 + 5000000,
		.close = {.ending = ending,
			.name = bytes_str("cause"),
			.text = bytes_str(text),
			.wire_octets = {1000, 24000},
			.plain_octets = {500, 23000},
			.duration_ns = 5000000},
	};
	give(sink, flow, &event);
	flow_free(flow);
}
