#include "sink/terminal.h"

#include "base/clock.h"
#include "sink/mask.h"
#include "sink/output.h"
#include "sink/row.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define EXCHANGES_MAX 65536 /* requests in flight, all flows together */
#define PATH_MAX_KEPT 1024  /* octets of a path that are shown */
#define STOPPED_NOTE  "read as far as the rule's `until`"
#define WORD_MAX_KEPT 64 /* octets of a method, a media type */

/* A request that has not ended yet. */
struct exchange {
	struct exchange *next;
	uint64_t stream, time_ns;
	unsigned status;
	uint8_t method_len, type_len, host_len;
	uint16_t path_len;
	uint8_t method[WORD_MAX_KEPT], type[WORD_MAX_KEPT], host[EVENT_NAME_MAX];
	uint8_t path[]; /* masked */
};

struct terminal {
	struct sink sink;
	struct output out;
	struct row_style style;
	bool unmasked, fixed;
	unsigned headed; /* columns of the last headings */
	size_t exchanges;
};

static struct terminal *of(struct sink *sink)
{
	return (struct terminal *)(void *)sink;
}

/* The first of the flow's list. */
static struct exchange **list_of(const struct terminal *t, struct flow *flow)
{
	return (struct exchange **)&flow->slot[t->sink.slot];
}

static struct exchange **find(struct exchange **at, uint64_t stream)
{
	while (*at && (*at)->stream != stream)
		at = &(*at)->next;
	return at;
}

static size_t keep(uint8_t *out, size_t cap, struct bytes in)
{
	size_t n = in.len < cap ? in.len : cap;
	if (n > 0)
		memcpy(out, in.data, n);
	return n;
}

static struct exchange *exchange_new(struct terminal *t, struct flow *flow, uint64_t stream, struct bytes path)
{
	struct exchange *x = NULL;
	if (t->exchanges < EXCHANGES_MAX)
		x = malloc(sizeof(*x) + path.len);
	if (!x) {
		t->sink.counts.capped++;
		return NULL;
	}
	x->stream = stream;
	x->status = 0;
	x->method_len = x->type_len = x->host_len = 0;
	x->path_len = (uint16_t)keep(x->path, path.len, path);
	struct exchange **end = list_of(t, flow);
	x->next = *end;
	*end = x;
	t->exchanges++;
	return x;
}

static void exchange_free(struct terminal *t, struct exchange **at)
{
	struct exchange *x = *at;
	*at = x->next;
	t->exchanges--;
	free(x);
}

static void on_request(struct sink *sink, struct flow *flow, const struct message_request *request)
{
	struct terminal *t = of(sink);
	char masked[PATH_MAX_KEPT];
	struct bytes path =
		bytes_of(request->path.data, request->path.len < PATH_MAX_KEPT ? request->path.len : PATH_MAX_KEPT);
	if (!t->unmasked && !flow->unmasked)
		path = bytes_of(masked, mask_url(path, masked, sizeof(masked)));
	struct exchange *x = exchange_new(t, flow, request->stream, path);
	if (!x)
		return;
	x->time_ns = request->time_ns;
	x->method_len = (uint8_t)keep(x->method, sizeof(x->method), request->method);
	x->host_len = (uint8_t)keep(x->host, sizeof(x->host), request->authority);
}

static void on_response(struct sink *sink, struct flow *flow, const struct message_response *response)
{
	struct terminal *t = of(sink);
	struct exchange *x = *find(list_of(t, flow), response->stream);
	struct bytes type;
	if (!x || response->interim)
		return;
	x->status = response->status;
	if (!message_header_find(response->headers, response->header_count, "content-type", &type))
		return;
	type.len = bytes_find(type, ';', 0);
	while (type.len > 0 && type.data[type.len - 1] == ' ')
		type.len--;
	x->type_len = (uint8_t)keep(x->type, sizeof(x->type), type);
}

static void look_at_width(struct terminal *t)
{
	struct winsize size;
	if (t->fixed || t->style.columns == 0)
		return;
	const char *columns = getenv("COLUMNS"); /* NOLINT(concurrency-mt-unsafe): nothing here sets variables */
	unsigned long named = columns ? strtoul(columns, NULL, 10) : 0;
	if (ioctl(t->out.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		t->style.columns = size.ws_col;
	else
		t->style.columns = named > 0 && named < 10000 ? (unsigned)named : 80;
}

static void look_at_zone(struct terminal *t, uint64_t time_ns)
{
	time_t now = (time_t)(time_ns / NS_PER_S);
	struct tm local;
	if (!localtime_r(&now, &local))
		return;
	/* Modulo a day, so that it is never negative. */
	t->style.zone_offset_s = (uint64_t)(local.tm_gmtoff + 86400) % 86400;
}

static void put_headings(struct terminal *t)
{
	if (t->style.columns == 0 || t->headed == t->style.columns)
		return;
	char *room = (char *)output_room(&t->out, ROW_ROOM);
	if (!room)
		return;
	t->headed = t->style.columns;
	output_commit(&t->out, row_headings(&t->style, room));
}

static void put_row(struct terminal *t, const struct row *row)
{
	if (t->out.len == 0) { /* once per batch */
		look_at_width(t);
		look_at_zone(t, row->time_ns);
	}
	put_headings(t);
	char *room = (char *)output_room(&t->out, ROW_ROOM);
	if (room)
		output_commit(&t->out, row_write(row, &t->style, room));
}

static void on_end(struct sink *sink, struct flow *flow, const struct message_end *end)
{
	struct terminal *t = of(sink);
	struct exchange **at = find(list_of(t, flow), end->stream);
	struct exchange *x = *at;
	if (!x)
		return;
	char client[FLOW_ADDRESS_TEXT];
	char label[FLOW_ADDRESS_TEXT];
	struct row row = {
		.time_ns = x->time_ns,
		.client = bytes_of(client, flow_address_text(&flow->client, client, sizeof(client))),
		.verdict = flow->intake == INTAKE_CAPTURE ? "read" : "inspect",
		.tone = end->ending == MESSAGE_DONE || end->ending == MESSAGE_UPGRADED ? ROW_GOOD : ROW_BAD,
		.host = x->host_len > 0 ? bytes_of(x->host, x->host_len) : flow_label(flow, label),
		.method = bytes_of(x->method, x->method_len),
		.path = bytes_of(x->path, x->path_len),
		.status = x->status,
		.type = bytes_of(x->type, x->type_len),
		.octets = end->request_octets + end->response_octets,
		.duration_ns = end->duration_ns,
		.ending = message_ending_name(end->ending),
		/* How it came to be inspected, and how far, where there is more to say than that. */
		.note = flow->stopped                                    ? bytes_str(STOPPED_NOTE)
	                : flow->intake != INTAKE_CAPTURE && flow->tls[0] ? flow->reason
	                                                                 : BYTES_NONE,
	};
	put_row(t, &row);
	exchange_free(t, at);
}

/* What one word says about a flow that carried no messages. */
static const char *flow_word(const struct flow *flow, const struct event_close *close, enum row_tone *tone)
{
	*tone = ROW_BAD;
	if (flow->intake == INTAKE_CAPTURE) {
		bool read = flow->octets[FLOW_UP] + flow->octets[FLOW_DOWN] > 0;
		*tone = read ? ROW_GOOD : ROW_QUIET;
		return read ? "read" : "sealed";
	}
	switch (close->ending) {
	case ENDING_REFUSED:
		return "refused";
	case ENDING_FAILED:
	case ENDING_TIMEOUT:
		return "failed";
	case ENDING_BLOCKED:
		return "block";
	case ENDING_LOST:
		return "lost";
	case ENDING_DONE:
	case ENDING_RESET:
	case ENDING_STOPPED:
	case ENDING_COUNT:
		break;
	}
	bool inspected = flow->decided && flow->action == ACTION_INSPECT;
	*tone = !flow->decided ? ROW_QUIET : inspected ? ROW_GOOD : ROW_ASIDE;
	return flow->decided ? flow_action_name(flow->action) : "-";
}

/* "name.example:8443", "[2001:db8::1]:8443": the port only where it is not 443. */
static struct bytes with_port(const struct flow *flow, struct bytes label, char *out, size_t cap)
{
	bool address = flow->host.len == 0 && flow->sni.len == 0;
	if (address || flow->port == 443 || flow->port == 0)
		return label;
	struct writer w = writer_over(out, cap);
	bool ipv6 = bytes_find(label, ':', 0) < label.len;
	if (ipv6)
		writer_u8(&w, '[');
	writer_bytes(&w, label);
	if (ipv6)
		writer_u8(&w, ']');
	writer_u8(&w, ':');
	char port[8];
	unsigned v = flow->port;
	size_t at = sizeof(port);
	for (; v > 0; v /= 10)
		port[--at] = (char)('0' + v % 10);
	writer_bytes(&w, bytes_of(port + at, sizeof(port) - at));
	return bytes_of(out, w.len);
}

/* Why, in words: what the close says, with the rule's own reason where a verdict is the cause. */
static struct bytes note_of(const struct flow *flow, const struct event_close *close, char *out, size_t cap)
{
	struct writer w = writer_over(out, cap);
	bool rule_speaks = flow->decided && flow->action != ACTION_INSPECT;
	struct bytes first = rule_speaks ? flow->reason : close->text.len > 0 ? close->text : close->name;
	if (first.len == 0 && flow->stopped)
		first = bytes_str(STOPPED_NOTE);
	if (first.len == 0)
		first = rule_speaks ? flow->rule : BYTES_NONE;
	writer_bytes(&w, first);
	if (rule_speaks && flow->rule.len > 0 && flow->reason.len > 0) {
		writer_bytes(&w, bytes_str(" ["));
		writer_bytes(&w, flow->rule);
		writer_bytes(&w, bytes_str("]"));
	}
	if (rule_speaks && close->text.len > 0 && close->ending != ENDING_BLOCKED) {
		writer_bytes(&w, bytes_str("; "));
		writer_bytes(&w, close->text);
	}
	return bytes_of(out, w.len);
}

static void on_flow_over(struct terminal *t, struct flow *flow, const struct event *event)
{
	const struct event_close *close = &event->close;
	bool told = flow->exchanges > 0 &&
	            (close->ending == ENDING_DONE || close->ending == ENDING_RESET || close->ending == ENDING_STOPPED);
	if (told)
		return;
	char client[FLOW_ADDRESS_TEXT];
	char label[FLOW_ADDRESS_TEXT];
	char host[EVENT_NAME_MAX + 8];
	char note[2 * EVENT_TEXT_MAX + EVENT_NAME_MAX + 8];
	struct row row = {
		.time_ns = flow->opened_ns,
		.client = bytes_of(client, flow_address_text(&flow->client, client, sizeof(client))),
		.host = with_port(flow, flow_label(flow, label), host, sizeof(host)),
		.scheme_method = flow->tls[0] || flow->tls[1] || flow->sni.len > 0 ? "tls" : "tcp",
		.octets = close->wire_octets[FLOW_UP] + close->wire_octets[FLOW_DOWN],
		.duration_ns = close->duration_ns,
		.ending = flow_ending_name(close->ending),
		.note = note_of(flow, close, note, sizeof(note)),
	};
	row.verdict = flow_word(flow, close, &row.tone);
	put_row(t, &row);
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	struct terminal *t = of(sink);
	if (event->kind != EVENT_CLOSE)
		return;
	on_flow_over(t, flow, event);
	while (*list_of(t, flow))
		exchange_free(t, list_of(t, flow));
}

static void on_flush(struct sink *sink)
{
	output_flush(&of(sink)->out);
}

static void on_close(struct sink *sink)
{
	output_close(&of(sink)->out);
	free(sink);
}

static const struct sink_ops ops = {
	.event = on_event,
	.request = on_request,
	.response = on_response,
	.end = on_end,
	.flush = on_flush,
	.close = on_close,
};

static const char *variable(const char *name)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nothing here sets variables */
	return value && value[0] ? value : NULL;
}

static bool utf8_locale(void)
{
	const char *locale = variable("LC_ALL");
	if (!locale)
		locale = variable("LC_CTYPE");
	if (!locale)
		locale = variable("LANG");
	return locale && (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}

static void find_style(struct terminal *t, const struct terminal_options *options)
{
	t->fixed = options->columns > 0;
	if (t->fixed) {
		t->style = (struct row_style){.columns = options->columns, .colour = options->colour, .utf8 = true};
		return;
	}
	if (!isatty(options->fd)) {
		t->style = (struct row_style){.utf8 = true};
		return;
	}
	const char *term = variable("TERM");
	bool dumb = term && strcmp(term, "dumb") == 0;
	t->style = (struct row_style){.columns = 80, .colour = !variable("NO_COLOR") && !dumb, .utf8 = utf8_locale()};
}

struct sink *terminal_new(const struct terminal_options *options, struct error *err)
{
	struct terminal *t = calloc(1, sizeof(*t));
	if (!t || !output_to(&t->out, &t->sink, options->fd)) {
		free(t);
		error_set(err, "no memory for the table of requests");
		return NULL;
	}
	t->sink = (struct sink){.ops = &ops, .name = "terminal", .wants = SINK_WANTS_MESSAGES};
	t->unmasked = options->unmasked;
	find_style(t, options);
	tzset(); /* before any sandbox closes the time zone's file */
	return &t->sink;
}
