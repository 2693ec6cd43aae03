#include "record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void add(char **text, size_t *len, size_t *room, struct bytes more)
{
	if (*len + more.len + 1 > *room) {
		*room = (*len + more.len + 1) * 2;
		*text = realloc(*text, *room);
		if (!*text)
			abort();
	}
	if (more.len > 0)
		memcpy(*text + *len, more.data, more.len);
	*len += more.len;
	(*text)[*len] = 0;
}

printf_like(2, 3) static void say(struct record *r, const char *format, ...)
{
	char line[4096];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	add(&r->text, &r->len, &r->room, bytes_of(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1));
}

#define SHOW(b) (int)(b).len, (b).len > 0 ? (const char *)(b).data : ""

static void headers(struct record *r, const struct message_header *list, size_t count, bool cut)
{
	for (size_t i = 0; i < count; i++)
		say(r, " [%.*s: %.*s]", SHOW(list[i].name), SHOW(list[i].value));
	say(r, "%s\n", cut ? " cut" : "");
}

static void on_request(void *ctx, const struct message_request *q)
{
	struct record *r = ctx;
	r->requests++;
	r->last_time_ns = q->time_ns;
	say(r, "request %llu %.*s %.*s|%.*s|%.*s %s", (unsigned long long)q->stream, SHOW(q->method), SHOW(q->scheme),
		SHOW(q->authority), SHOW(q->path), message_version_name(q->version));
	headers(r, q->headers, q->header_count, q->headers_cut);
}

static void on_response(void *ctx, const struct message_response *s)
{
	struct record *r = ctx;
	r->responses++;
	r->last_time_ns = s->time_ns;
	say(r, "%s %llu %u %.*s %s", s->interim ? "interim" : "response", (unsigned long long)s->stream, s->status,
		SHOW(s->reason), message_version_name(s->version));
	headers(r, s->headers, s->header_count, s->headers_cut);
}

static struct record_body *body_of(struct record *r, uint64_t stream, bool response)
{
	struct record_body *spare = NULL;
	for (size_t i = 0; i < sizeof(r->bodies) / sizeof(r->bodies[0]); i++) {
		struct record_body *b = &r->bodies[i];
		if (b->text && b->stream == stream && b->response == response)
			return b;
		if (!b->text && !spare)
			spare = b;
	}
	if (!spare)
		abort();
	*spare = (struct record_body){.stream = stream, .response = response};
	return spare;
}

static void on_body(void *ctx, const struct message_body *m)
{
	struct record *r = ctx;
	struct record_body *b = body_of(r, m->stream, m->response);
	if (m->offset != b->next || (m->bytes.len == 0) == (m->lost == 0))
		say(r, "fault: a piece at %llu, not %llu\n", (unsigned long long)m->offset,
			(unsigned long long)b->next);
	b->next += m->bytes.len + m->lost;
	char lost[32];
	(void)snprintf(lost, sizeof(lost), "<%llu>", (unsigned long long)m->lost);
	add(&b->text, &b->len, &b->room, m->lost > 0 ? bytes_str(lost) : m->bytes);
}

static void end_body(struct record *r, uint64_t stream, bool response)
{
	struct record_body *b = body_of(r, stream, response);
	if (b->text && b->len < 2000)
		say(r, "body %llu %s \"%s\"\n", (unsigned long long)stream, response ? "down" : "up", b->text);
	free(b->text);
	*b = (struct record_body){0};
}

static void say_trailers(struct record *r, const char *side, const struct message_trailers *trailers)
{
	if (trailers->count == 0 && !trailers->cut)
		return;
	say(r, "trailers %s", side);
	headers(r, trailers->fields, trailers->count, trailers->cut);
}

static void on_end(void *ctx, const struct message_end *e)
{
	struct record *r = ctx;
	end_body(r, e->stream, false);
	end_body(r, e->stream, true);
	if (r->ends++ == 0)
		r->first_duration_ns = e->duration_ns;
	say_trailers(r, "up", &e->request_trailers);
	say_trailers(r, "down", &e->response_trailers);
	say(r, "end %llu %s %llu %llu\n", (unsigned long long)e->stream, message_ending_name(e->ending),
		(unsigned long long)e->request_octets, (unsigned long long)e->response_octets);
}

static void on_notice(void *ctx, enum flow_severity severity, const char *name, struct bytes text)
{
	(void)severity;
	struct record *r = ctx;
	r->notices++;
	(void)snprintf(r->last_notice, sizeof(r->last_notice), "%.*s", SHOW(text));
	say(r, "notice %s\n", name);
}

const struct decoder_output record_output = {on_request, on_response, on_body, on_end, on_notice};
const struct decoder_output record_no_bodies = {on_request, on_response, NULL, on_end, on_notice};

const char *record_text(const struct record *record)
{
	return record->text ? record->text : "";
}

void record_clear(struct record *record)
{
	free(record->text);
	for (size_t i = 0; i < sizeof(record->bodies) / sizeof(record->bodies[0]); i++)
		free(record->bodies[i].text);
	*record = (struct record){0};
}
