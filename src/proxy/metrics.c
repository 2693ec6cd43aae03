#include "proxy/metrics.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/hostport.h"
#include "base/log.h"
#include "proxy/intake_http.h"
#include "proxy/listening.h"
#include "proxy/outbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 8192
#define TEXT_MAX    ((size_t)16 * 1024 * 1024)
#define CLIENT_NS   (10 * NS_PER_S) /* for a client to ask and to read */
#define ANSWER_NS   NS_PER_S        /* for the processes to say their figures */

/* Who asks. */
struct client {
	struct metrics *metrics; /* NULL: this place is free */
	struct loop_io io;
	struct loop_timer late;
	struct buffer in;
	struct outbox out;
	struct intake_http http;
	bool waits;  /* for figures */
	bool health; /* else all of them */
	bool answered;
};

/* Who is asked. */
struct process {
	enum counts_of of;
	size_t number;
	bool up; /* has answered in this round */
	uint64_t values[COUNTS_MAX];
};

struct metrics {
	struct loop *loop;
	struct metrics_options options;
	struct loop_io io;
	struct client clients[METRICS_CLIENTS];
	struct process *processes;
	size_t count;
	bool asking;
	bool asks; /* inside `ask` */
	struct loop_timer round;
	uint64_t refused;
};

static void client_close(struct client *client)
{
	struct metrics *m = client->metrics;
	loop_remove(m->loop, &client->io);
	loop_timer_clear(m->loop, &client->late);
	close(client->io.fd);
	buffer_clear(&client->in);
	outbox_free(&client->out);
	client->metrics = NULL;
}

static void reply(struct client *client, uint16_t status, const char *type, struct bytes body)
{
	struct http_reply made = {.status = status,
		.content_type = type,
		.body = body,
		.head_only = bytes_equal(client->http.head.method, bytes_str("HEAD"))};
	size_t room = body.len + 2048;
	uint8_t *text = malloc(room);
	struct writer w = writer_over(text, text ? room : 0);
	struct bytes out;
	intake_http_reply(&made, &w);
	bool sent = text && writer_done(&w, &out) && outbox_send(&client->out, &client->io, out);
	free(text);
	client->waits = false;
	client->answered = true;
	if (!sent || !outbox_stalled(&client->out))
		client_close(client);
}

static void reply_line(struct client *client, uint16_t status, const char *line)
{
	reply(client, status, "text/plain; charset=utf-8", bytes_str(line));
}

/* The text. */

static void say(struct buffer *text, const char *part)
{
	(void)!buffer_add(text, bytes_str(part));
}

static void say_value(
	struct buffer *text, const struct process *p, const char *name, const char *labels, uint64_t value)
{
	char line[256];
	char number[40] = "";
	if (p->of == COUNTS_WORKER)
		snprintf(number, sizeof(number), ",worker=\"%zu\"", p->number);
	snprintf(line, sizeof(line), "%s{process=\"%s\"%s%s%s} %llu\n", name, counts_process(p->of), number,
		labels[0] ? "," : "", labels, (unsigned long long)value);
	say(text, line);
}

static void say_head(struct buffer *text, const char *name, const char *help, enum counts_kind kind)
{
	say(text, "# HELP ");
	say(text, name);
	say(text, " ");
	say(text, help);
	say(text, "\n# TYPE ");
	say(text, name);
	say(text, kind == COUNTS_GAUGE ? " gauge\n" : " counter\n");
}

/* Did the metric stand before row `row` of `of`? All samples of a metric stand together, under its first row. */
static bool said(enum counts_of of, size_t row, const char *name)
{
	for (int k = 0; k <= (int)of; k++) {
		size_t count;
		const struct counts_row *rows = counts_rows((enum counts_of)k, &count);
		for (size_t i = 0; i < (k == (int)of ? row : count); i++) {
			if (strcmp(rows[i].name, name) == 0)
				return true;
		}
	}
	return false;
}

static void say_metric(struct buffer *text, const struct metrics *m, const char *name)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct process *p = &m->processes[i];
		size_t count;
		const struct counts_row *rows = counts_rows(p->of, &count);
		for (size_t k = 0; p->up && k < count; k++) {
			if (strcmp(rows[k].name, name) == 0)
				say_value(text, p, name, rows[k].labels, p->values[k]);
		}
	}
}

static void say_all(struct buffer *text, const struct metrics *m)
{
	say_head(text, "overt_up", "1 when the process answered within a second.", COUNTS_GAUGE);
	for (size_t i = 0; i < m->count; i++)
		say_value(text, &m->processes[i], "overt_up", "", m->processes[i].up);
	for (int of = 0; of < COUNTS_KINDS; of++) {
		size_t count;
		const struct counts_row *rows = counts_rows((enum counts_of)of, &count);
		for (size_t i = 0; i < count; i++) {
			if (said((enum counts_of)of, i, rows[i].name))
				continue;
			say_head(text, rows[i].name, rows[i].help, rows[i].kind);
			say_metric(text, m, rows[i].name);
		}
	}
}

/* A value by its metric's name; 1 when the table has none such, so that a check for it passes. */
static uint64_t value_of(const struct process *p, const char *name)
{
	size_t count;
	const struct counts_row *rows = counts_rows(p->of, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return p->values[i];
	}
	return 1;
}

static bool say_health(struct buffer *text, const struct metrics *m)
{
	bool well = true;
	char line[128];
	for (size_t i = 0; i < m->count; i++) {
		const struct process *p = &m->processes[i];
		const char *fault = !p->up                                 ? "does not answer"
		                    : value_of(p, "overt_audit_open") == 0 ? "cannot write the audit log"
		                    : value_of(p, "overt_ready") == 0      ? "waits for the family to start"
		                                                           : NULL;
		if (!fault)
			continue;
		snprintf(line, sizeof(line), "%s %zu %s\n", counts_process(p->of), p->number, fault);
		say(text, line);
		well = false;
	}
	if (well)
		say(text, "ok\n");
	return well;
}

/* One round of asking. */

static void round_over(struct metrics *m)
{
	struct buffer all = {.cap = TEXT_MAX}, health = {.cap = TEXT_MAX};
	loop_timer_clear(m->loop, &m->round);
	m->asking = false;
	say_all(&all, m);
	bool well = say_health(&health, m);
	for (size_t i = 0; i < METRICS_CLIENTS; i++) {
		struct client *client = &m->clients[i];
		if (!client->metrics || !client->waits)
			continue;
		if (client->health)
			reply(client, well ? 200 : 503, "text/plain; charset=utf-8", buffer_bytes(&health));
		else
			reply(client, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_bytes(&all));
	}
	buffer_clear(&all);
	buffer_clear(&health);
}

static void round_late(struct loop_timer *timer)
{
	round_over((struct metrics *)(void *)((char *)timer - offsetof(struct metrics, round)));
}

static void round_check(struct metrics *m)
{
	for (size_t i = 0; i < m->count; i++) {
		if (!m->processes[i].up)
			return;
	}
	if (m->asking && !m->asks)
		round_over(m);
}

static void round_begin(struct metrics *m)
{
	if (m->asking)
		return;
	for (size_t i = 0; i < m->count; i++)
		m->processes[i].up = false;
	m->asking = m->asks = true;
	loop_timer_set(m->loop, &m->round, clock_monotonic_ns() + ANSWER_NS, round_late);
	m->options.ask(m->options.ctx);
	m->asks = false;
	round_check(m);
}

void metrics_take(struct metrics *m, enum counts_of of, size_t number, struct bytes body)
{
	uint64_t values[COUNTS_MAX];
	size_t rows;
	if (!m || !m->asking || !counts_read(of, body, values))
		return;
	(void)!counts_rows(of, &rows);
	for (size_t i = 0; i < m->count; i++) {
		struct process *p = &m->processes[i];
		if (p->of != of || p->number != number)
			continue;
		memcpy(p->values, values, rows * sizeof(values[0]));
		p->up = true;
	}
	round_check(m);
}

uint64_t metrics_refused(const struct metrics *m)
{
	return m ? m->refused : 0;
}

/* Clients. */

static void route(struct client *client)
{
	struct bytes path = client->http.path;
	struct bytes method = client->http.head.method;
	bool reads = bytes_equal(method, bytes_str("GET")) || bytes_equal(method, bytes_str("HEAD"));
	path.len = bytes_find(path, '?', 0);
	client->health = bytes_equal(path, bytes_str("/health"));
	if (!reads) {
		reply_line(client, 405, "Only GET and HEAD are answered here.\n");
	} else if (client->health || bytes_equal(path, bytes_str("/metrics"))) {
		client->waits = true;
		round_begin(client->metrics);
	} else {
		reply_line(client, 404, "Nothing here: /metrics and /health are answered.\n");
	}
}

static void read_request(struct client *client)
{
	switch (intake_http_read(&client->http, buffer_bytes(&client->in), bytes_str("overt-metrics"))) {
	case INTAKE_HTTP_NEED_MORE:
		if (client->in.len == REQUEST_MAX)
			reply_line(client, 431, "The request is too long.\n");
		break;
	case INTAKE_HTTP_ORIGIN:
		route(client);
		break;
	case INTAKE_HTTP_CONNECT:
	case INTAKE_HTTP_ABSOLUTE:
		reply_line(client, 400, "This port is no proxy; it serves /metrics and /health.\n");
		break;
	default:
		reply_line(client, 400, "This is no HTTP request.\n");
	}
}

static void client_ready(struct loop_io *io)
{
	struct client *client = (struct client *)(void *)((char *)io - offsetof(struct client, io));
	if (client->answered) {
		if (!outbox_send(&client->out, io, BYTES_NONE) || !outbox_stalled(&client->out))
			client_close(client);
		return;
	}
	while (client->metrics && io->readable && !client->waits && !client->answered) {
		size_t space;
		uint8_t *to = buffer_space(&client->in, &space);
		ssize_t n = to ? recv(io->fd, to, space, 0) : 0;
		if (n < 0 && errno == EAGAIN) {
			io->readable = false;
		} else if (n <= 0) {
			client_close(client);
		} else {
			client->in.len += (size_t)n;
			read_request(client);
		}
	}
}

static void client_late(struct loop_timer *timer)
{
	client_close((struct client *)(void *)((char *)timer - offsetof(struct client, late)));
}

static struct client *place(struct metrics *m)
{
	for (size_t i = 0; i < METRICS_CLIENTS; i++) {
		if (!m->clients[i].metrics)
			return &m->clients[i];
	}
	return NULL;
}

static void accept_ready(struct loop_io *io)
{
	struct metrics *m = (struct metrics *)(void *)((char *)io - offsetof(struct metrics, io));
	for (;;) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct client *client = place(m);
		if (!client) {
			m->refused++;
			close(fd);
			continue;
		}
		*client = (struct client){.metrics = m, .in.cap = REQUEST_MAX};
		if (!loop_add(m->loop, &client->io, fd, client_ready) ||
			!loop_timer_set(m->loop, &client->late, clock_monotonic_ns() + CLIENT_NS, client_late)) {
			client->io.fd = fd;
			client_close(client);
		}
	}
}

/* Making and ending. */

static void add(struct metrics *m, enum counts_of of, size_t number)
{
	m->processes[m->count].of = of;
	m->processes[m->count++].number = number;
}

static bool set_up(struct metrics *m, struct error *err)
{
	m->processes = calloc(COUNTS_WORKER + m->options.workers, sizeof(*m->processes));
	if (!m->processes)
		return error_set(err, "no memory for the counters");
	for (int of = 0; of < COUNTS_WORKER; of++)
		add(m, (enum counts_of)of, 0);
	for (size_t i = 0; i < m->options.workers; i++)
		add(m, COUNTS_WORKER, i);
	int fd = listening_one("metrics", &m->options.at, err);
	if (fd < 0)
		return false;
	if (loop_add(m->loop, &m->io, fd, accept_ready))
		return true;
	m->io.fd = fd;
	return error_set_errno(err, "--metrics: the port cannot be watched");
}

struct metrics *metrics_new(struct loop *loop, const struct metrics_options *options, struct error *err)
{
	struct metrics *m = calloc(1, sizeof(*m));
	if (!m) {
		error_set(err, "no memory for the counters");
		return NULL;
	}
	m->loop = loop;
	m->options = *options;
	m->io.fd = -1;
	if (set_up(m, err))
		return m;
	metrics_free(m);
	return NULL;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < METRICS_CLIENTS; i++) {
		if (m->clients[i].metrics)
			client_close(&m->clients[i]);
	}
	loop_timer_clear(m->loop, &m->round);
	loop_remove(m->loop, &m->io);
	if (m->io.fd >= 0)
		close(m->io.fd);
	free(m->processes);
	free(m);
}
