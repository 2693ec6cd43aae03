#include "sink/objects.h"

#include "base/log.h"
#include "decode/coding.h"
#include "sink/jsonout.h"
#include "sink/mask.h"
#include "sink/objects_file.h"
#include "sink/output.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define HOST_MAX        255
#define METHOD_MAX      16
#define PATH_KEPT       512
#define TEXT_MAX        80 /* octets kept of a media type, and of a list of codings */
#define LINE_MAX_OCTETS ((size_t)16384)

/* A text of strangers, cut. */
struct kept {
	uint16_t len;
	bool cut;
};

struct objects;

/* One body: of a request or of a response. */
struct body {
	struct objects *objects;
	struct pooled file;
	struct coding *coding;
	uint64_t octets, lost, written;
	const char *why; /* it is not whole; NULL: as far as is known it is */
	bool as_sent;    /* a content coding could not be taken off */
	bool coded;      /* there was a coding */
	bool ended;      /* nothing more is written */
	enum coding_result result;
};

struct object {
	struct object *next;
	uint64_t stream, time_ns;
	unsigned status; /* 0: no response */
	bool tunnel;     /* CONNECT */
	struct body *body[2];
	struct kept host, method, path, type[2], codings[2];
	uint8_t host_octets[HOST_MAX], method_octets[METHOD_MAX], path_octets[PATH_KEPT];
	uint8_t type_octets[2][TEXT_MAX], codings_octets[2][TEXT_MAX];
};

struct objects {
	struct sink sink;
	struct objects_files files;
	struct output manifest;
	struct coding_memory memory;
	bool complained, unmasked;
	size_t count; /* exchanges */
};

/* What hangs on a flow: its exchanges, the one used last first. */
struct of_flow {
	struct object *first;
};

static struct objects *of(struct sink *sink)
{
	return (struct objects *)(void *)sink;
}

static void keep(struct kept *kept, uint8_t *to, size_t cap, struct bytes text)
{
	kept->cut = text.len > cap;
	kept->len = (uint16_t)(kept->cut ? cap : text.len);
	if (kept->len > 0)
		memcpy(to, text.data, kept->len);
}

/* Exchanges. */

static struct object **place_of(struct of_flow *flow, uint64_t stream)
{
	struct object **at = &flow->first;
	while (*at && (*at)->stream != stream)
		at = &(*at)->next;
	return *at ? at : NULL;
}

static struct object *find(const struct objects *o, const struct flow *flow, uint64_t stream)
{
	struct of_flow *mine = flow->slot[o->sink.slot];
	struct object **at = mine ? place_of(mine, stream) : NULL;
	if (!at)
		return NULL;
	struct object *found = *at;
	*at = found->next;
	found->next = mine->first;
	mine->first = found;
	return found;
}

static struct object *add(struct objects *o, struct flow *flow, uint64_t stream, uint64_t time_ns)
{
	struct of_flow *mine = flow->slot[o->sink.slot];
	if (!mine)
		mine = flow->slot[o->sink.slot] = calloc(1, sizeof(*mine));
	struct object *object = mine && o->count < OBJECTS_MAX ? calloc(1, sizeof(*object)) : NULL;
	if (!object) {
		o->sink.counts.capped++;
		return NULL;
	}
	o->count++;
	object->stream = stream;
	object->time_ns = time_ns;
	object->next = mine->first;
	mine->first = object;
	return object;
}

/* A host without its port, and without the brackets of an address. */
static struct bytes host_of(struct bytes authority, struct bytes fallback)
{
	if (authority.len == 0)
		return fallback;
	if (authority.data[0] == '[')
		return bytes_of(authority.data + 1, bytes_find(authority, ']', 0) - 1);
	return bytes_of(authority.data, bytes_find(authority, ':', 0));
}

static void note_headers(
	struct object *object, enum flow_direction way, const struct message_header *headers, size_t count)
{
	struct bytes type;
	struct writer w = writer_over(object->codings_octets[way], TEXT_MAX);
	if (message_header_find(headers, count, "content-type", &type))
		keep(&object->type[way], object->type_octets[way], TEXT_MAX, type);
	/* Fields of the same name are one list. */
	for (size_t i = 0; i < count; i++) {
		if (!bytes_equal_nocase(headers[i].name, bytes_str("content-encoding")))
			continue;
		if (w.len > 0)
			writer_bytes(&w, bytes_str(", "));
		writer_bytes(&w, headers[i].value);
	}
	object->codings[way] = (struct kept){.len = (uint16_t)w.len, .cut = w.full};
}

static void on_request(struct sink *sink, struct flow *flow, const struct message_request *request)
{
	char label[FLOW_ADDRESS_TEXT];
	struct object *object = add(of(sink), flow, request->stream, request->time_ns);
	if (!object)
		return;
	object->tunnel = bytes_equal(request->method, bytes_str("CONNECT"));
	keep(&object->host, object->host_octets, HOST_MAX, host_of(request->authority, flow_label(flow, label)));
	keep(&object->method, object->method_octets, METHOD_MAX, request->method);
	keep(&object->path, object->path_octets, PATH_KEPT, request->path);
	note_headers(object, FLOW_UP, request->headers, request->header_count);
}

static void on_response(struct sink *sink, struct flow *flow, const struct message_response *response)
{
	char label[FLOW_ADDRESS_TEXT];
	struct object *object = find(of(sink), flow, response->stream);
	if (response->interim)
		return;
	if (!object && response->stream == 0) {
		/* One without a request (flow/message.h). */
		object = add(of(sink), flow, 0, response->time_ns);
		if (object)
			keep(&object->host, object->host_octets, HOST_MAX, flow_label(flow, label));
	}
	if (!object)
		return;
	object->status = response->status;
	note_headers(object, FLOW_DOWN, response->headers, response->header_count);
}

/* Bodies. */

/* One line for the first failure; all are counted. */
static void fail(struct objects *o, struct body *body, const char *what)
{
	if (!o->complained)
		log_error("object not written", LOG_S("file", body->file.name), LOG_S("call", what),
			LOG_S("why", strerror(errno)),
			LOG_S("consequence", "the file is not whole; further ones are only counted"));
	o->complained = true;
	o->sink.counts.lost_records++;
	body->why = "not-written";
	body->ended = true;
}

static void write_octets(void *ctx, struct bytes octets)
{
	struct body *body = ctx;
	if (body->ended)
		return;
	if (pooled_write(&body->objects->files.pool, &body->file, octets))
		body->written += octets.len;
	else
		fail(body->objects, body, "write");
}

static void choose_coding(struct objects *o, struct object *object, enum flow_direction way)
{
	struct body *body = object->body[way];
	struct bytes list = bytes_of(object->codings_octets[way], object->codings[way].len);
	struct coding_setup setup = {CODING_LIMITS_DEFAULT, &o->memory, write_octets, body};
	enum coding_open why = CODING_OPEN_TOO_MANY;
	if (!object->codings[way].cut)
		body->coding = coding_new(&setup, list, &why);
	body->coded = why != CODING_OPEN_NONE;
	body->as_sent = why != CODING_OPEN_NONE && why != CODING_OPEN_OK;
	if (why == CODING_OPEN_NO_MEMORY)
		body->why = "no-memory";
}

static struct body *begin(struct objects *o, struct object *object, enum flow_direction way)
{
	struct body *body = calloc(1, sizeof(*body));
	object->body[way] = body;
	if (!body) {
		o->sink.counts.lost_records++;
		return NULL;
	}
	body->objects = o;
	choose_coding(o, object, way);
	return body;
}

static void make_file(struct objects *o, const struct object *object, enum flow_direction way)
{
	struct body *body = object->body[way];
	struct objects_named named = {
		.host = bytes_of(object->host_octets, object->host.len),
		.path = bytes_of(object->path_octets, object->path.len),
		.type = bytes_of(object->type_octets[way], object->type[way].len),
		.request = way == FLOW_UP,
	};
	if (!objects_file_make(&o->files, &body->file, &named))
		fail(o, body, "open");
}

static void drop_coding(struct body *body)
{
	coding_free(body->coding);
	body->coding = NULL;
}

static void take_octets(struct body *body, struct bytes octets)
{
	if (!body->coding) {
		write_octets(body, octets);
		return;
	}
	bool first = coding_taken(body->coding) == 0;
	body->result = coding_feed(body->coding, octets);
	if (body->result == CODING_MORE || body->result == CODING_DONE)
		return;
	bool plain = body->result == CODING_BAD && first && coding_given(body->coding) == 0;
	drop_coding(body);
	if (plain) {
		/* It is not what its header says: some servers name a coding and send none. */
		body->as_sent = true;
		write_octets(body, octets);
		return;
	}
	if (!body->why)
		body->why = coding_result_name(body->result);
	body->ended = true;
}

/* Octets that are missing: left out where there is no coding; where there is, nothing behind them can be read. */
static void lose(struct body *body, uint64_t octets)
{
	if (octets == 0)
		return;
	body->lost += octets;
	body->why = body->why ? body->why : "gap";
	if (body->coding) {
		drop_coding(body);
		body->ended = true;
	}
}

static void on_body(struct sink *sink, struct flow *flow, const struct message_body *part)
{
	struct objects *o = of(sink);
	enum flow_direction way = part->response ? FLOW_DOWN : FLOW_UP;
	struct object *object = find(o, flow, part->stream);
	if (!object || object->tunnel)
		return;
	struct body *body = object->body[way] ? object->body[way] : begin(o, object, way);
	if (!body)
		return;
	uint64_t at = body->octets + body->lost;
	lose(body, (part->offset > at ? part->offset - at : 0) + part->lost);
	body->octets += part->bytes.len;
	if (part->bytes.len == 0 || body->ended)
		return;
	if (body->file.name[0] == '\0')
		make_file(o, object, way);
	if (!body->ended)
		take_octets(body, part->bytes);
}

/* The manifest. */

static void put_kept(struct jsonout *json, const char *key, const uint8_t *octets, struct kept kept)
{
	if (kept.len > 0)
		jsonout_text(json, key, bytes_of(octets, kept.len));
}

static void put_path(struct jsonout *json, const struct objects *o, const struct object *object)
{
	char masked[3 * PATH_KEPT + 8];
	struct bytes path = bytes_of(object->path_octets, object->path.len);
	if (path.len == 0)
		return;
	if (!o->unmasked)
		path = bytes_of(masked, mask_url(path, masked, sizeof(masked)));
	jsonout_text(json, "path", path);
}

static void tell(struct objects *o, const struct flow *flow, const struct object *object, enum flow_direction way)
{
	const struct body *body = object->body[way];
	char name[FLOW_NAME_TEXT];
	uint8_t *room = output_room(&o->manifest, LINE_MAX_OCTETS);
	size_t len;
	if (!room)
		return;
	struct jsonout json = jsonout_over(room, LINE_MAX_OCTETS);
	jsonout_object(&json, NULL);
	jsonout_time(&json, "time", object->time_ns);
	jsonout_text(&json, "flow", bytes_of(name, flow_name(flow, name, sizeof(name))));
	jsonout_number(&json, "stream", object->stream);
	put_kept(&json, "host", object->host_octets, object->host);
	put_kept(&json, "method", object->method_octets, object->method);
	put_path(&json, o, object);
	if (object->status > 0)
		jsonout_number(&json, "status", object->status);
	jsonout_word(&json, "body", way == FLOW_UP ? "request" : "response");
	put_kept(&json, "type", object->type_octets[way], object->type[way]);
	put_kept(&json, "coding", object->codings_octets[way], object->codings[way]);
	if (body->coded)
		jsonout_bool(&json, "decoded", !body->as_sent);
	jsonout_number(&json, "octets", body->octets);
	jsonout_number(&json, "lost_octets", body->lost);
	jsonout_number(&json, "file_octets", body->written);
	if (body->file.name[0])
		jsonout_word(&json, "file", body->file.name);
	jsonout_bool(&json, "complete", body->why == NULL);
	if (body->why)
		jsonout_word(&json, "why", body->why);
	jsonout_object_end(&json);
	if (jsonout_done(&json, &len))
		output_commit(&o->manifest, len);
	else
		output_lost(&o->manifest);
}

static void finish_body(struct objects *o, const struct flow *flow, const struct object *object,
	enum flow_direction way, enum message_ending ending, uint64_t octets)
{
	struct body *body = object->body[way];
	if (!body)
		return;
	if (octets > body->octets + body->lost)
		lose(body, octets - body->octets - body->lost);
	if (!body->why && ending != MESSAGE_DONE && ending != MESSAGE_UPGRADED)
		body->why = message_ending_name(ending);
	if (!body->why && body->coding && body->result != CODING_DONE)
		body->why = "cut";
	drop_coding(body);
	objects_file_end(&o->files, &body->file, body->why == NULL);
	tell(o, flow, object, way);
	free(body);
}

/* Takes the exchange, which is the first of its flow. */
static void finish(struct objects *o, struct flow *flow, enum message_ending ending, uint64_t up, uint64_t down)
{
	struct of_flow *mine = flow->slot[o->sink.slot];
	struct object *object = mine->first;
	finish_body(o, flow, object, FLOW_UP, ending, up);
	finish_body(o, flow, object, FLOW_DOWN, ending, down);
	mine->first = object->next;
	free(object);
	o->count--;
}

static void on_end(struct sink *sink, struct flow *flow, const struct message_end *end)
{
	struct object *object = find(of(sink), flow, end->stream);
	if (object)
		finish(of(sink), flow, end->ending, end->request_octets, end->response_octets);
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	struct objects *o = of(sink);
	struct of_flow *mine = flow->slot[o->sink.slot];
	if (event->kind != EVENT_CLOSE || !mine)
		return;
	while (mine->first)
		finish(o, flow, MESSAGE_MISSED, 0, 0);
	free(mine);
	flow->slot[o->sink.slot] = NULL;
}

static void on_flush(struct sink *sink)
{
	output_flush(&of(sink)->manifest);
}

static void on_close(struct sink *sink)
{
	struct objects *o = of(sink);
	output_close(&o->manifest);
	filepool_close(&o->files.pool);
	free(o);
}

static const struct sink_ops ops = {
	.event = on_event,
	.request = on_request,
	.response = on_response,
	.body = on_body,
	.end = on_end,
	.flush = on_flush,
	.close = on_close,
};

struct sink *objects_new(const char *directory, bool unmasked, struct error *err)
{
	char index[PATH_MAX];
	struct objects *o = calloc(1, sizeof(*o));
	if (!o) {
		error_set(err, "no memory for the files of bodies");
		return NULL;
	}
	o->sink = (struct sink){.ops = &ops, .name = "objects", .wants = SINK_WANTS_MESSAGES | SINK_WANTS_BODIES};
	o->memory.cap = OBJECTS_CODING_MEMORY;
	o->unmasked = unmasked;
	int n = snprintf(index, sizeof(index), "%s/index.jsonl", directory);
	bool ok = n > 0 && (size_t)n < sizeof(index);
	if (!ok)
		error_set(err, "%.200s…: the name is too long", directory);
	ok = ok && filepool_open(&o->files.pool, directory, err);
	if (ok && output_open(&o->manifest, &o->sink, index, OUTPUT_APPEND, err))
		return &o->sink;
	if (ok)
		filepool_close(&o->files.pool);
	free(o);
	return NULL;
}
