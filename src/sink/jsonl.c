#include "sink/jsonl.h"

#include "base/text.h"
#include "sink/jsonout.h"
#include "sink/mask.h"
#include "sink/output.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define VALUE_MAX ((size_t)8192) /* octets of a value that is masked; what is longer is cut */

struct jsonl {
	struct sink sink;
	struct output out;
	bool unmasked;
};

/* Six octets per octet is the worst that escaping does. */
#define ESCAPED(n) (6 * (n))
#define LINE_ROOM  ((size_t)65536) /* any event but heads */

static struct jsonl *of(struct sink *sink)
{
	return (struct jsonl *)(void *)sink;
}

static bool begin(struct jsonl *jsonl, struct jsonout *json, size_t room, const char *type, const struct flow *flow,
	uint64_t time_ns)
{
	uint8_t *data = output_room(&jsonl->out, room < OUTPUT_CAP ? room : OUTPUT_CAP);
	if (!data)
		return false;
	*json = jsonout_over(data, room < OUTPUT_CAP ? room : OUTPUT_CAP);
	char name[FLOW_NAME_TEXT];
	size_t n = flow_name(flow, name, sizeof(name));
	jsonout_object(json, NULL);
	jsonout_number(json, "v", JSONL_VERSION);
	jsonout_word(json, "type", type);
	jsonout_time(json, "time", time_ns);
	jsonout_text(json, "flow", bytes_of(name, n));
	return true;
}

static void finish(struct jsonl *jsonl, struct jsonout *json)
{
	jsonout_object_end(json);
	size_t len;
	if (jsonout_done(json, &len))
		output_commit(&jsonl->out, len);
	else
		output_lost(&jsonl->out);
}

static void put_optional(struct jsonout *json, const char *key, struct bytes text)
{
	if (text.len > 0)
		jsonout_text(json, key, text);
}

static void put_address(struct jsonout *json, const char *key, const struct flow_address *address)
{
	if (address->family == 0)
		return;
	char ip[FLOW_ADDRESS_TEXT];
	size_t n = flow_ip_text(address, ip, sizeof(ip));
	jsonout_object(json, key);
	jsonout_text(json, "ip", bytes_of(ip, n));
	jsonout_number(json, "port", address->port);
	jsonout_object_end(json);
}

static void put_both(struct jsonout *json, const char *key, const uint64_t values[2])
{
	jsonout_object(json, key);
	jsonout_number(json, "up", values[FLOW_UP]);
	jsonout_number(json, "down", values[FLOW_DOWN]);
	jsonout_object_end(json);
}

static void put_hex16(struct jsonout *json, const char *key, uint16_t value)
{
	static const char digits[] = "0123456789abcdef";
	const char text[6] = {
		'0', 'x', digits[value >> 12], digits[value >> 8 & 15], digits[value >> 4 & 15], digits[value & 15]};
	jsonout_text(json, key, bytes_of(text, sizeof(text)));
}

static void put_version(struct jsonout *json, const char *key, uint16_t version)
{
	static const struct {
		uint16_t number;
		const char *name;
	} known[] = {{0x0301, "TLS 1.0"}, {0x0302, "TLS 1.1"}, {0x0303, "TLS 1.2"}, {0x0304, "TLS 1.3"},
		{0xfeff, "DTLS 1.0"}, {0xfefd, "DTLS 1.2"}, {0xfefc, "DTLS 1.3"}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].number == version) {
			jsonout_word(json, key, known[i].name);
			return;
		}
	}
	put_hex16(json, key, version); /* GREASE and what is still to come */
}

static void put_open(struct jsonout *json, const struct event_open *open)
{
	put_address(json, "client", &open->client);
	put_address(json, "server", &open->server);
	put_optional(json, "host", open->host);
	jsonout_number(json, "port", open->port);
	jsonout_word(json, "intake", flow_intake_name(open->intake));
	jsonout_number(json, "worker", open->worker);
}

static void put_hello(struct jsonout *json, const struct event_hello *hello)
{
	put_optional(json, "sni", hello->sni);
	jsonout_array(json, "alpn");
	for (size_t i = 0; i < hello->alpn_count; i++)
		jsonout_text(json, NULL, hello->alpn[i]);
	jsonout_array_end(json);
	jsonout_array(json, "versions");
	for (size_t i = 0; i < hello->version_count; i++)
		put_version(json, NULL, hello->versions[i]);
	jsonout_array_end(json);
	put_optional(json, "ja3", hello->ja3);
	put_optional(json, "ja4", hello->ja4);
	jsonout_word(json, "ech", flow_ech_name(hello->ech));
}

static void put_certificate(struct jsonout *json, const struct event_certificate *c)
{
	char hex[2 * EVENT_SHA256_LEN + 1];
	text_hex(hex, sizeof(hex), bytes_of(c->sha256, sizeof(c->sha256)));
	jsonout_object(json, "certificate");
	jsonout_text(json, "subject", c->subject);
	jsonout_text(json, "issuer", c->issuer);
	jsonout_word(json, "sha256", hex);
	jsonout_number(json, "not_after", c->not_after_s);
	put_optional(json, "verification", c->verification);
	put_optional(json, "verification_text", c->verification_text);
	jsonout_object_end(json);
}

static void put_tls(struct jsonout *json, const struct event_tls *tls)
{
	jsonout_number(json, "leg", tls->leg);
	put_version(json, "version", tls->version);
	put_hex16(json, "suite", tls->suite);
	put_optional(json, "suite_name", tls->suite_name);
	put_optional(json, "group", tls->group);
	put_optional(json, "alpn", tls->alpn);
	jsonout_bool(json, "resumed", tls->resumed);
	if (tls->certificate.present)
		put_certificate(json, &tls->certificate);
}

static void put_close(struct jsonout *json, const struct flow *flow, const struct event_close *close)
{
	jsonout_word(json, "ending", flow_ending_name(close->ending));
	put_optional(json, "name", close->name);
	put_optional(json, "text", close->text);
	put_both(json, "wire_octets", close->wire_octets);
	put_both(json, "plain_octets", close->plain_octets);
	put_both(json, "missing_octets", flow->missing);
	jsonout_number(json, "exchanges", flow->exchanges);
	jsonout_seconds(json, "duration", close->duration_ns);
}

static void put_event(struct jsonout *json, const struct flow *flow, const struct event *event)
{
	switch (event->kind) {
	case EVENT_OPEN:
		put_open(json, &event->open);
		break;
	case EVENT_UPSTREAM:
		put_address(json, "server", &event->upstream.server);
		break;
	case EVENT_HELLO:
		put_hello(json, &event->hello);
		break;
	case EVENT_TLS:
		put_tls(json, &event->tls);
		break;
	case EVENT_VERDICT:
		jsonout_word(json, "action", flow_action_name(event->verdict.action));
		jsonout_number(json, "pass", event->verdict.pass);
		put_optional(json, "rule", event->verdict.rule);
		put_optional(json, "reason", event->verdict.reason);
		if (event->verdict.unmasked)
			jsonout_bool(json, "unmasked", true);
		break;
	case EVENT_GAP:
		jsonout_word(json, "direction", flow_direction_name(event->gap.direction));
		jsonout_number(json, "offset", event->gap.offset);
		jsonout_number(json, "octets", event->gap.octets);
		jsonout_word(json, "why", flow_gap_name(event->gap.why));
		break;
	case EVENT_NOTICE:
		jsonout_word(json, "severity", flow_severity_name(event->notice.severity));
		put_optional(json, "name", event->notice.name);
		put_optional(json, "text", event->notice.text);
		break;
	case EVENT_CLOSE:
		put_close(json, flow, &event->close);
		break;
	case EVENT_DATA:
	case EVENT_HALF:
	case EVENT_KEYLOG:
		break;
	}
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	struct jsonl *jsonl = of(sink);
	struct jsonout json;
	bool silent = event->kind == EVENT_DATA || event->kind == EVENT_HALF || event->kind == EVENT_KEYLOG ||
	              (event->kind == EVENT_GAP && event->gap.why == GAP_SKIPPED);
	if (silent || !begin(jsonl, &json, LINE_ROOM, event_kind_name(event->kind), flow, event->time_ns))
		return;
	put_event(&json, flow, event);
	finish(jsonl, &json);
}

static size_t headers_room(const struct message_header *headers, size_t count)
{
	size_t room = 0;
	for (size_t i = 0; i < count; i++)
		room += ESCAPED(headers[i].name.len + mask_room(headers[i].value.len)) + 8;
	return room;
}

/* By --show-secrets, or by the rule that lets this flow be inspected. */
static bool shown_as_is(const struct jsonl *jsonl, const struct flow *flow)
{
	return jsonl->unmasked || flow->unmasked;
}

static void put_masked(bool unmasked, struct jsonout *json, const char *key, struct bytes name, struct bytes value)
{
	char masked[VALUE_MAX];
	if (unmasked || !mask_concerns(name)) {
		jsonout_text(json, key, value);
		return;
	}
	size_t n = mask_header(name, value, masked, sizeof(masked));
	jsonout_text(json, key, bytes_of(masked, n));
}

/* Pairs in an array: names may come twice, and their order tells who sent them. */
static void put_headers(
	bool unmasked, struct jsonout *json, const char *key, const struct message_header *headers, size_t count)
{
	jsonout_array(json, key);
	for (size_t i = 0; i < count; i++) {
		jsonout_array(json, NULL);
		jsonout_text(json, NULL, headers[i].name);
		put_masked(unmasked, json, NULL, headers[i].name, headers[i].value);
		jsonout_array_end(json);
	}
	jsonout_array_end(json);
}

static void put_head(bool unmasked, struct jsonout *json, const struct message_header *headers, size_t count, bool cut)
{
	put_headers(unmasked, json, "headers", headers, count);
	if (cut)
		jsonout_bool(json, "headers_cut", true);
}

static void put_trailers(bool unmasked, struct jsonout *json, const char *key, const struct message_trailers *trailers)
{
	if (trailers->count > 0 || trailers->cut)
		put_headers(unmasked, json, key, trailers->fields, trailers->count);
}

static void on_request(struct sink *sink, struct flow *flow, const struct message_request *request)
{
	struct jsonl *jsonl = of(sink);
	struct jsonout json;
	size_t own = request->method.len + request->scheme.len + request->authority.len + request->path.len;
	size_t room = LINE_ROOM + ESCAPED(own) + headers_room(request->headers, request->header_count);
	if (!begin(jsonl, &json, room, "request", flow, request->time_ns))
		return;
	jsonout_number(&json, "stream", request->stream);
	jsonout_word(&json, "version", message_version_name(request->version));
	jsonout_text(&json, "method", request->method);
	put_optional(&json, "scheme", request->scheme);
	put_optional(&json, "authority", request->authority);
	put_masked(shown_as_is(jsonl, flow), &json, "path", bytes_str(":path"), request->path);
	put_head(shown_as_is(jsonl, flow), &json, request->headers, request->header_count, request->headers_cut);
	finish(jsonl, &json);
}

static void on_response(struct sink *sink, struct flow *flow, const struct message_response *response)
{
	struct jsonl *jsonl = of(sink);
	struct jsonout json;
	size_t room =
		LINE_ROOM + ESCAPED(response->reason.len) + headers_room(response->headers, response->header_count);
	if (!begin(jsonl, &json, room, "response", flow, response->time_ns))
		return;
	jsonout_number(&json, "stream", response->stream);
	jsonout_word(&json, "version", message_version_name(response->version));
	jsonout_number(&json, "status", response->status);
	put_optional(&json, "reason", response->reason);
	if (response->interim)
		jsonout_bool(&json, "interim", true);
	put_head(shown_as_is(jsonl, flow), &json, response->headers, response->header_count, response->headers_cut);
	finish(jsonl, &json);
}

static void on_end(struct sink *sink, struct flow *flow, const struct message_end *end)
{
	struct jsonl *jsonl = of(sink);
	struct jsonout json;
	const struct message_trailers *up = &end->request_trailers, *down = &end->response_trailers;
	size_t room = LINE_ROOM + headers_room(up->fields, up->count) + headers_room(down->fields, down->count);
	if (!begin(jsonl, &json, room, "end", flow, end->time_ns))
		return;
	jsonout_number(&json, "stream", end->stream);
	jsonout_word(&json, "ending", message_ending_name(end->ending));
	jsonout_number(&json, "request_octets", end->request_octets);
	jsonout_number(&json, "response_octets", end->response_octets);
	jsonout_seconds(&json, "duration", end->duration_ns);
	put_trailers(shown_as_is(jsonl, flow), &json, "request_trailers", up);
	put_trailers(shown_as_is(jsonl, flow), &json, "response_trailers", down);
	if (up->cut || down->cut)
		jsonout_bool(&json, "trailers_cut", true);
	finish(jsonl, &json);
}

static void on_flush(struct sink *sink)
{
	output_flush(&of(sink)->out);
}

static bool on_reopen(struct sink *sink, struct error *err)
{
	bool fresh;
	return output_reopen(&of(sink)->out, OUTPUT_APPEND, &fresh, err);
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
	.reopen = on_reopen,
	.close = on_close,
};

struct sink *jsonl_new(const char *path, bool unmasked, struct error *err)
{
	struct jsonl *jsonl = calloc(1, sizeof(*jsonl));
	if (!jsonl) {
		error_set(err, "no memory for jsonl");
		return NULL;
	}
	jsonl->sink = (struct sink){.ops = &ops, .name = "jsonl", .wants = SINK_WANTS_MESSAGES};
	jsonl->unmasked = unmasked;
	if (!output_open(&jsonl->out, &jsonl->sink, path, OUTPUT_APPEND, err)) {
		error_prefix(err, "--jsonl");
		free(jsonl);
		return NULL;
	}
	return &jsonl->sink;
}
