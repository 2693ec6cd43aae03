#include "peers.h"

#include <stdio.h>
#include <stdlib.h>

#define NV(n, v)                                                                                                       \
	((nghttp2_nv){(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE})

static void must(int result)
{
	if (result < 0) {
		(void)fprintf(stderr, "nghttp2: %s\n", nghttp2_strerror(result));
		abort();
	}
}

static size_t slot(int32_t stream)
{
	return (size_t)stream / 2 % 1000;
}

static ssize_t send_octets(size_t *left, size_t len, uint32_t *flags)
{
	size_t n = *left < len ? *left : len;
	*left -= n;
	if (*left == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static ssize_t read_upload(nghttp2_session *session, int32_t stream, uint8_t *out, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *user)
{
	(void)session;
	(void)source;
	struct peers *p = user;
	memset(out, 'u', len);
	return send_octets(&p->upload[slot(stream)], len, flags);
}

static ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *out, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *user)
{
	(void)source;
	struct peers *p = user;
	memset(out, 'a', len);
	ssize_t n = send_octets(&p->answer[slot(stream)], len, flags);
	if ((*flags & NGHTTP2_DATA_FLAG_EOF) && p->trailers[slot(stream)]) {
		nghttp2_nv trailer = NV("grpc-status", "0");
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		must(nghttp2_submit_trailer(session, stream, &trailer, 1));
	}
	return n;
}

static void answer(struct peers *p, int32_t stream, const char *status, size_t octets)
{
	char serial[32];
	(void)snprintf(serial, sizeof(serial), "value-%u", p->serial++ % 37);
	nghttp2_nv headers[] = {NV(":status", status), NV("server", "peers"), NV("x-serial", serial)};
	nghttp2_data_provider body = {.read_callback = read_answer};
	p->answer[slot(stream)] = octets;
	bool none = octets == 0 && !p->trailers[slot(stream)];
	must(nghttp2_submit_response(p->server, stream, headers, 3, none ? NULL : &body));
}

static void answer_big(struct peers *p, int32_t stream)
{
	static char value[4000];
	nghttp2_nv headers[11] = {NV(":status", "200")};
	memset(value, 'v', sizeof(value) - 1);
	for (size_t i = 1; i < 11; i++)
		headers[i] = NV("x-big", value);
	must(nghttp2_submit_response(p->server, stream, headers, 11, NULL));
}

static void push(struct peers *p, int32_t stream)
{
	nghttp2_nv headers[] = {
		NV(":method", "GET"), NV(":scheme", "https"), NV(":authority", "example.com"), NV(":path", "/pushed")};
	int32_t promised = nghttp2_submit_push_promise(p->server, 0, stream, headers, 4, NULL);
	must(promised);
	answer(p, stream, "200", 1);
	answer(p, promised, "200", 4);
}

static void respond(struct peers *p, int32_t stream)
{
	const char *path = p->path[slot(stream)];
	nghttp2_nv hints[] = {NV(":status", "103"), NV("link", "</a>")};
	p->trailers[slot(stream)] = strcmp(path, "/trailers") == 0;
	if (strcmp(path, "/empty") == 0)
		answer(p, stream, "204", 0);
	else if (strcmp(path, "/push") == 0)
		push(p, stream);
	else if (strcmp(path, "/reset") == 0)
		must(nghttp2_submit_rst_stream(p->server, 0, stream, NGHTTP2_CANCEL));
	else if (strcmp(path, "/big") == 0)
		answer_big(p, stream);
	else if (p->trailers[slot(stream)])
		answer(p, stream, "200", 5);
	else {
		if (strcmp(path, "/hints") == 0)
			must(nghttp2_submit_headers(p->server, 0, stream, NULL, hints, 2, NULL));
		answer(p, stream, "200", (size_t)strtoul(path + 1, NULL, 10));
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
	const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	(void)session;
	(void)flags;
	struct peers *p = user;
	size_t at = slot(frame->hd.stream_id);
	if (bytes_equal(bytes_of(name, name_len), bytes_str(":path")))
		(void)snprintf(p->path[at], sizeof(p->path[at]), "%.*s", (int)value_len, (const char *)value);
	if (bytes_equal(bytes_of(name, name_len), bytes_str(":method")))
		(void)snprintf(p->method[at], sizeof(p->method[at]), "%.*s", (int)value_len, (const char *)value);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	(void)session;
	struct peers *p = user;
	int32_t stream = frame->hd.stream_id;
	bool head = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
	bool early = head &&
	             (strcmp(p->path[slot(stream)], "/early") == 0 || strcmp(p->method[slot(stream)], "CONNECT") == 0);
	bool over = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	bool late = strcmp(p->path[slot(stream)], "/early") != 0 && strcmp(p->method[slot(stream)], "CONNECT") != 0;
	if (early)
		answer(p, stream, "200", 7);
	else if (over && late && (head || frame->hd.type == NGHTTP2_DATA))
		respond(p, stream);
	return 0;
}

static ssize_t pad(nghttp2_session *session, const nghttp2_frame *frame, size_t max, void *user)
{
	(void)session;
	struct peers *p = user;
	size_t len = frame->hd.length + p->serial++ % 200;
	return (ssize_t)(len < max ? len : max);
}

static void settings(nghttp2_session *session, uint32_t table, bool server)
{
	nghttp2_settings_entry entries[3] = {
		{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, table}, {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};
	size_t count = 2;
	if (server)
		entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
	must(nghttp2_submit_settings(session, 0, entries, count));
}

struct peers *peers_new(uint32_t client_table, uint32_t server_table, bool padding)
{
	struct peers *p = calloc(1, sizeof(*p));
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	if (!p)
		abort();
	must(nghttp2_session_callbacks_new(&callbacks));
	must(nghttp2_option_new(&option));
	nghttp2_option_set_max_deflate_dynamic_table_size(option, 65536);
	nghttp2_session_callbacks_set_select_padding_callback(callbacks, pad);
	if (!padding)
		nghttp2_session_callbacks_set_select_padding_callback(callbacks, NULL);
	must(nghttp2_session_client_new2(&p->client, callbacks, p, option));
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	must(nghttp2_session_server_new2(&p->server, callbacks, p, option));
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	settings(p->client, client_table, false);
	settings(p->server, server_table, true);
	peers_run(p);
	return p;
}

void peers_free(struct peers *p)
{
	nghttp2_session_del(p->client);
	nghttp2_session_del(p->server);
	free(p->transcript.data);
	free(p);
}

int32_t peers_request(struct peers *p, const char *method, const char *path, size_t upload, const char *protocol)
{
	char serial[32];
	(void)snprintf(serial, sizeof(serial), "agent-%u", p->serial++ % 53);
	bool tunnel = strcmp(method, "CONNECT") == 0 && !protocol;
	nghttp2_nv headers[8] = {NV(":method", method), NV(":authority", "example.com")};
	size_t count = 2;
	if (!tunnel) {
		headers[count++] = NV(":scheme", "https");
		headers[count++] = NV(":path", path);
	}
	if (protocol)
		headers[count++] = NV(":protocol", protocol);
	headers[count++] = NV("user-agent", serial);
	nghttp2_data_provider body = {.read_callback = read_upload};
	int32_t stream = nghttp2_submit_request(p->client, NULL, headers, count, upload > 0 ? &body : NULL, NULL);
	must(stream);
	p->upload[slot(stream)] = upload;
	return stream;
}

void peers_table(struct peers *p, enum flow_direction side, uint32_t octets)
{
	nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, octets};
	must(nghttp2_submit_settings(side == FLOW_UP ? p->client : p->server, 0, &entry, 1));
}

static void keep(struct transcript *t, enum flow_direction direction, const uint8_t *data, size_t len)
{
	if (t->len + len > t->room) {
		t->room = (t->len + len) * 2;
		t->data = realloc(t->data, t->room);
	}
	if (!t->data || t->count == sizeof(t->parts) / sizeof(t->parts[0]))
		abort();
	memcpy(t->data + t->len, data, len);
	t->parts[t->count++] = (struct transcript_part){direction, t->len, len};
	t->len += len;
}

static bool carry(struct peers *p, enum flow_direction direction)
{
	const uint8_t *data;
	ssize_t n = nghttp2_session_mem_send(direction == FLOW_UP ? p->client : p->server, &data);
	must((int)n);
	if (n == 0)
		return false;
	keep(&p->transcript, direction, data, (size_t)n);
	must((int)nghttp2_session_mem_recv(direction == FLOW_UP ? p->server : p->client, data, (size_t)n));
	return true;
}

void peers_run(struct peers *p)
{
	bool said = true;
	while (said) {
		said = carry(p, FLOW_UP);
		said = carry(p, FLOW_DOWN) || said;
	}
}

void transcript_feed(const struct transcript *t, struct decoder *decoder, size_t piece)
{
	for (size_t i = 0; i < t->count; i++) {
		struct bytes rest = bytes_of(t->data + t->parts[i].at, t->parts[i].len);
		struct bytes part;
		while (bytes_take(&rest, piece < rest.len ? piece : rest.len, &part) && part.len > 0) {
			/* A copy of its own, so that a view kept too long or a read beyond the end shows. */
			uint8_t *copy = malloc(part.len);
			if (!copy)
				abort();
			memcpy(copy, part.data, part.len);
			decoder_feed(decoder, t->parts[i].direction, bytes_of(copy, part.len), 1000);
			free(copy);
		}
	}
}
