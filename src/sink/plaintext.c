#include "sink/plaintext.h"

#include "base/log.h"
#include "sink/filepool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The files of one flow, each from the first octet of its direction on. */
struct streams {
	struct pooled way[2];
	bool made[2], failed[2];
};

struct plaintext {
	struct sink sink;
	struct filepool pool;
	bool complained;
};

static struct plaintext *of(struct sink *sink)
{
	return (struct plaintext *)(void *)sink;
}

/* One line for the first failure; all are counted. */
static void fail(struct plaintext *p, struct streams *streams, enum flow_direction direction)
{
	if (!p->complained)
		log_error("plaintext not written", LOG_S("file", streams->way[direction].name),
			LOG_S("why", strerror(errno)),
			LOG_S("consequence", "the file is not whole; further ones are only counted"));
	p->complained = true;
	streams->failed[direction] = true;
	p->sink.counts.lost_records++;
	pooled_shut(&p->pool, &streams->way[direction]);
}

static void dots(char *text)
{
	for (; *text; text++) {
		if (*text == ':')
			*text = '.';
	}
}

static void name_of(const struct flow *flow, enum flow_direction direction, char *out, size_t cap)
{
	char id[FLOW_NAME_TEXT], client[FLOW_ADDRESS_TEXT], server[FLOW_ADDRESS_TEXT];
	flow_name(flow, id, sizeof(id));
	flow_ip_text(&flow->client, client, sizeof(client));
	flow_ip_text(&flow->server, server, sizeof(server));
	dots(client);
	dots(server);
	snprintf(out, cap, "%s_%s-%u_%s-%u.%s", id, client, flow->client.port, server, flow->server.port,
		flow_direction_name(direction));
}

static struct streams *streams_of(struct plaintext *p, struct flow *flow)
{
	void **slot = &flow->slot[p->sink.slot];
	if (!*slot)
		*slot = calloc(1, sizeof(struct streams));
	return *slot;
}

static void write_data(struct plaintext *p, struct flow *flow, const struct event_data *data)
{
	struct streams *streams = streams_of(p, flow);
	enum flow_direction direction = data->direction;
	if (!streams || streams->failed[direction]) {
		p->sink.counts.lost_records++;
		return;
	}
	struct pooled *file = &streams->way[direction];
	bool ok = true;
	if (!streams->made[direction]) {
		name_of(flow, direction, file->name, sizeof(file->name));
		ok = pooled_make(&p->pool, file, POOLED_REPLACE);
		streams->made[direction] = ok;
	}
	if (ok && pooled_write(&p->pool, file, data->bytes))
		p->sink.counts.records++;
	else
		fail(p, streams, direction);
}

static void finish(struct plaintext *p, struct flow *flow)
{
	struct streams *streams = flow->slot[p->sink.slot];
	flow->slot[p->sink.slot] = NULL;
	for (unsigned i = 0; streams && i < 2; i++)
		pooled_shut(&p->pool, &streams->way[i]);
	free(streams);
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	if (event->kind == EVENT_DATA)
		write_data(of(sink), flow, &event->data);
	else if (event->kind == EVENT_CLOSE)
		finish(of(sink), flow);
}

static void on_flush(struct sink *sink)
{
	(void)sink;
}

static void on_close(struct sink *sink)
{
	filepool_close(&of(sink)->pool);
	free(sink);
}

static const struct sink_ops ops = {.event = on_event, .flush = on_flush, .close = on_close};

struct sink *plaintext_new(const char *directory, struct error *err)
{
	struct plaintext *p = calloc(1, sizeof(*p));
	if (!p) {
		error_set(err, "no memory for the files of plaintext");
		return NULL;
	}
	p->sink = (struct sink){.ops = &ops, .name = "plaintext", .wants = SINK_WANTS_DATA};
	if (filepool_open(&p->pool, directory, err))
		return &p->sink;
	free(p);
	return NULL;
}
