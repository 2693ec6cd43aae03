#include "sink/plaintext.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct plaintext;

/* One direction of one flow, from its first octet on. */
struct stream {
	int fd; /* -1: closed for now */
	bool failed;
	struct stream *older, *newer; /* among those that are open, by use */
	char name[NAME_MAX + 1];
};

struct streams {
	struct stream *way[2];
};

struct plaintext {
	struct sink sink;
	int directory;
	bool complained;
	struct stream *oldest, *newest;
	unsigned open;
};

static struct plaintext *of(struct sink *sink)
{
	return (struct plaintext *)(void *)sink;
}

static void leave(struct plaintext *p, struct stream *s)
{
	*(s->older ? &s->older->newer : &p->oldest) = s->newer;
	*(s->newer ? &s->newer->older : &p->newest) = s->older;
	p->open--;
}

static void enter(struct plaintext *p, struct stream *s)
{
	s->newer = NULL;
	s->older = p->newest;
	*(p->newest ? &p->newest->newer : &p->oldest) = s;
	p->newest = s;
	p->open++;
}

static void shut(struct plaintext *p, struct stream *s)
{
	if (s->fd < 0)
		return;
	leave(p, s);
	close(s->fd);
	s->fd = -1;
}

/* One line for the first failure; all are counted. */
static void fail(struct plaintext *p, struct stream *s, const char *what)
{
	if (!p->complained)
		log_error("plaintext not written", LOG_S("file", s->name), LOG_S("call", what),
			LOG_S("why", strerror(errno)),
			LOG_S("consequence", "the file is not whole; further ones are only counted"));
	p->complained = true;
	s->failed = true;
	p->sink.counts.lost_records++;
	shut(p, s);
}

static bool ready(struct plaintext *p, struct stream *s, int flags)
{
	if (s->fd >= 0) {
		leave(p, s);
		enter(p, s);
		return true;
	}
	if (p->open >= PLAINTEXT_OPEN_MAX)
		shut(p, p->oldest);
	s->fd = openat(p->directory, s->name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (s->fd < 0) {
		fail(p, s, "open");
		return false;
	}
	enter(p, s);
	return true;
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

static struct stream *stream_of(struct plaintext *p, struct flow *flow, enum flow_direction direction)
{
	struct streams *streams = flow->slot[p->sink.slot];
	if (!streams) {
		streams = calloc(1, sizeof(*streams));
		flow->slot[p->sink.slot] = streams;
	}
	if (!streams || streams->way[direction])
		return streams ? streams->way[direction] : NULL;
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->fd = -1;
	name_of(flow, direction, s->name, sizeof(s->name));
	streams->way[direction] = s;
	(void)!ready(p, s, O_TRUNC);
	return s;
}

static void write_data(struct plaintext *p, struct flow *flow, const struct event_data *data)
{
	struct stream *s = stream_of(p, flow, data->direction);
	if (!s || s->failed) {
		p->sink.counts.lost_records++;
		return;
	}
	if (!ready(p, s, O_APPEND))
		return;
	struct bytes left = data->bytes;
	while (left.len > 0) {
		ssize_t n = write(s->fd, left.data, left.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !bytes_skip(&left, (size_t)n)) {
			fail(p, s, "write");
			return;
		}
	}
	p->sink.counts.records++;
}

static void finish(struct plaintext *p, struct flow *flow)
{
	struct streams *streams = flow->slot[p->sink.slot];
	flow->slot[p->sink.slot] = NULL;
	for (unsigned i = 0; streams && i < 2; i++) {
		if (streams->way[i])
			shut(p, streams->way[i]);
		free(streams->way[i]);
	}
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
	close(of(sink)->directory);
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
	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		error_set_errno(err, "%s: the directory cannot be made", directory);
		free(p);
		return NULL;
	}
	p->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->directory >= 0)
		return &p->sink;
	error_set_errno(err, "%s: no directory to write to", directory);
	free(p);
	return NULL;
}
