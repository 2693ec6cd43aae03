#include "flow/event.h"

/*
 * In octets, network order: u32 size of the whole, u8 version, u8 kind, u16 reserved, u64 flow, u64 time, then the body
 * of the kind. Texts are vec16, names vec8.
 */

static struct bytes cut(struct bytes text, size_t max)
{
	return bytes_of(text.data, text.len < max ? text.len : max);
}

static void write_name(struct writer *w, struct bytes name)
{
	writer_vec8(w, cut(name, EVENT_NAME_MAX));
}

static void write_text(struct writer *w, struct bytes text)
{
	writer_vec16(w, cut(text, EVENT_TEXT_MAX));
}

static bool read_text(struct bytes *in, struct bytes *out)
{
	return bytes_vec16(in, out) && out->len <= EVENT_TEXT_MAX;
}

/* A value of an enum in one octet. */
static bool write_enum(struct writer *w, unsigned value, unsigned count)
{
	writer_u8(w, (uint8_t)value);
	return value < count;
}

static bool read_enum(struct bytes *in, unsigned count, unsigned *out)
{
	uint8_t v;
	if (!bytes_u8(in, &v) || v >= count)
		return false;
	*out = v;
	return true;
}

static void write_address(struct writer *w, const struct flow_address *a)
{
	writer_u8(w, a->family);
	if (a->family == 0)
		return;
	writer_bytes(w, bytes_of(a->ip, a->family == 4 ? 4 : 16));
	writer_u16(w, a->port);
}

static bool read_address(struct bytes *in, struct flow_address *out)
{
	*out = (struct flow_address){0};
	if (!bytes_u8(in, &out->family))
		return false;
	if (out->family == 0)
		return true;
	if (out->family != 4 && out->family != 6)
		return false;
	struct bytes ip;
	if (!bytes_take(in, out->family == 4 ? 4 : 16, &ip) || !bytes_u16(in, &out->port))
		return false;
	memcpy(out->ip, ip.data, ip.len);
	return true;
}

static bool address_valid(const struct flow_address *a)
{
	return a->family == 0 || a->family == 4 || a->family == 6;
}

static bool write_open(struct writer *w, const struct event_open *e)
{
	write_address(w, &e->client);
	write_address(w, &e->server);
	write_name(w, e->host);
	writer_u16(w, e->port);
	bool valid = write_enum(w, e->intake, INTAKE_COUNT);
	writer_u16(w, e->worker);
	return valid && address_valid(&e->client) && address_valid(&e->server);
}

static bool read_open(struct bytes *in, struct event_open *e)
{
	unsigned intake;
	if (!read_address(in, &e->client) || !read_address(in, &e->server) || !bytes_vec8(in, &e->host) ||
		!bytes_u16(in, &e->port) || !read_enum(in, INTAKE_COUNT, &intake) || !bytes_u16(in, &e->worker))
		return false;
	e->intake = (enum flow_intake)intake;
	return true;
}

static bool write_hello(struct writer *w, const struct event_hello *e)
{
	write_name(w, e->sni);
	size_t alpn_count = e->alpn_count < EVENT_LIST_MAX ? e->alpn_count : EVENT_LIST_MAX;
	writer_u8(w, (uint8_t)alpn_count);
	for (size_t i = 0; i < alpn_count; i++)
		write_name(w, e->alpn[i]);
	size_t version_count = e->version_count < EVENT_LIST_MAX ? e->version_count : EVENT_LIST_MAX;
	writer_u8(w, (uint8_t)version_count);
	for (size_t i = 0; i < version_count; i++)
		writer_u16(w, e->versions[i]);
	write_name(w, e->ja3);
	write_name(w, e->ja4);
	return write_enum(w, e->ech, FLOW_ECH_COUNT);
}

static bool read_hello(struct bytes *in, struct event_hello *e)
{
	unsigned count;
	if (!bytes_vec8(in, &e->sni) || !read_enum(in, EVENT_LIST_MAX + 1, &count))
		return false;
	e->alpn_count = count;
	for (size_t i = 0; i < e->alpn_count; i++) {
		if (!bytes_vec8(in, &e->alpn[i]))
			return false;
	}
	if (!read_enum(in, EVENT_LIST_MAX + 1, &count))
		return false;
	e->version_count = count;
	for (size_t i = 0; i < e->version_count; i++) {
		if (!bytes_u16(in, &e->versions[i]))
			return false;
	}
	unsigned ech;
	if (!bytes_vec8(in, &e->ja3) || !bytes_vec8(in, &e->ja4) || !read_enum(in, FLOW_ECH_COUNT, &ech))
		return false;
	e->ech = (enum flow_ech)ech;
	return true;
}

static void write_certificate(struct writer *w, const struct event_certificate *c)
{
	writer_u8(w, c->present);
	if (!c->present)
		return;
	write_text(w, c->subject);
	write_text(w, c->issuer);
	writer_bytes(w, bytes_of(c->sha256, sizeof(c->sha256)));
	writer_u64(w, c->not_after_s);
	write_name(w, c->verification);
	write_text(w, c->verification_text);
}

static bool read_certificate(struct bytes *in, struct event_certificate *c)
{
	unsigned present;
	*c = (struct event_certificate){0};
	if (!read_enum(in, 2, &present))
		return false;
	if (!present)
		return true;
	struct bytes digest;
	if (!read_text(in, &c->subject) || !read_text(in, &c->issuer) || !bytes_take(in, sizeof(c->sha256), &digest) ||
		!bytes_u64(in, &c->not_after_s) || !bytes_vec8(in, &c->verification) ||
		!read_text(in, &c->verification_text))
		return false;
	c->present = true;
	memcpy(c->sha256, digest.data, digest.len);
	return true;
}

static bool write_tls(struct writer *w, const struct event_tls *e)
{
	writer_u8(w, (uint8_t)e->leg);
	writer_u16(w, e->version);
	writer_u16(w, e->suite);
	write_name(w, e->suite_name);
	write_name(w, e->group);
	write_name(w, e->alpn);
	writer_u8(w, e->resumed);
	write_certificate(w, &e->certificate);
	return e->leg == 1 || e->leg == 2;
}

static bool read_tls(struct bytes *in, struct event_tls *e)
{
	unsigned resumed;
	if (!read_enum(in, 3, &e->leg) || e->leg == 0 || !bytes_u16(in, &e->version) || !bytes_u16(in, &e->suite) ||
		!bytes_vec8(in, &e->suite_name) || !bytes_vec8(in, &e->group) || !bytes_vec8(in, &e->alpn) ||
		!read_enum(in, 2, &resumed) || !read_certificate(in, &e->certificate))
		return false;
	e->resumed = resumed;
	return true;
}

static bool write_verdict(struct writer *w, const struct event_verdict *e)
{
	bool valid = write_enum(w, e->action, ACTION_COUNT);
	valid &= write_enum(w, e->pass, 3);
	write_name(w, e->rule);
	write_text(w, e->reason);
	writer_u8(w, e->unmasked);
	return valid;
}

static bool read_verdict(struct bytes *in, struct event_verdict *e)
{
	unsigned action;
	unsigned unmasked;
	if (!read_enum(in, ACTION_COUNT, &action) || !read_enum(in, 3, &e->pass) || !bytes_vec8(in, &e->rule) ||
		!read_text(in, &e->reason) || !read_enum(in, 2, &unmasked))
		return false;
	e->action = (enum flow_action)action;
	e->unmasked = unmasked;
	return true;
}

static bool read_direction(struct bytes *in, enum flow_direction *out)
{
	unsigned v;
	if (!read_enum(in, 2, &v))
		return false;
	*out = (enum flow_direction)v;
	return true;
}

/* One octet of direction, seven of offset: 2^56 octets of one connection are out of reach. */
#define OFFSET_MAX ((UINT64_C(1) << 56) - 1)

static bool write_place(struct writer *w, enum flow_direction direction, uint64_t offset)
{
	writer_u64(w, (uint64_t)direction << 56 | (offset & OFFSET_MAX));
	return (direction == FLOW_UP || direction == FLOW_DOWN) && offset <= OFFSET_MAX;
}

static bool read_place(struct bytes *in, enum flow_direction *direction, uint64_t *offset)
{
	uint64_t v;
	if (!bytes_u64(in, &v) || v >> 56 > 1)
		return false;
	*direction = (enum flow_direction)(v >> 56);
	*offset = v & OFFSET_MAX;
	return true;
}

static bool write_data(struct writer *w, const struct event_data *e)
{
	bool valid = write_place(w, e->direction, e->offset);
	writer_bytes(w, e->bytes);
	return valid && e->bytes.len <= EVENT_DATA_MAX;
}

static bool read_data(struct bytes *in, struct event_data *e)
{
	return read_place(in, &e->direction, &e->offset) && in->len <= EVENT_DATA_MAX &&
	       bytes_take(in, in->len, &e->bytes);
}

static bool write_gap(struct writer *w, const struct event_gap *e)
{
	bool valid = write_place(w, e->direction, e->offset);
	writer_u64(w, e->octets);
	return write_enum(w, e->why, GAP_COUNT) && valid && e->octets <= OFFSET_MAX;
}

static bool read_gap(struct bytes *in, struct event_gap *e)
{
	unsigned why;
	if (!read_place(in, &e->direction, &e->offset) || !bytes_u64(in, &e->octets) || e->octets > OFFSET_MAX ||
		!read_enum(in, GAP_COUNT, &why))
		return false;
	e->why = (enum flow_gap)why;
	return true;
}

static bool write_notice(struct writer *w, const struct event_notice *e)
{
	bool valid = write_enum(w, e->severity, SEVERITY_COUNT);
	write_name(w, e->name);
	write_text(w, e->text);
	return valid;
}

static bool read_notice(struct bytes *in, struct event_notice *e)
{
	unsigned severity;
	if (!read_enum(in, SEVERITY_COUNT, &severity) || !bytes_vec8(in, &e->name) || !read_text(in, &e->text))
		return false;
	e->severity = (enum flow_severity)severity;
	return true;
}

static bool write_close(struct writer *w, const struct event_close *e)
{
	bool valid = write_enum(w, e->ending, ENDING_COUNT);
	write_name(w, e->name);
	write_text(w, e->text);
	for (int i = 0; i < 2; i++) {
		writer_u64(w, e->wire_octets[i]);
		writer_u64(w, e->plain_octets[i]);
	}
	writer_u64(w, e->duration_ns);
	return valid;
}

static bool read_close(struct bytes *in, struct event_close *e)
{
	unsigned ending;
	if (!read_enum(in, ENDING_COUNT, &ending) || !bytes_vec8(in, &e->name) || !read_text(in, &e->text))
		return false;
	for (int i = 0; i < 2; i++) {
		if (!bytes_u64(in, &e->wire_octets[i]) || !bytes_u64(in, &e->plain_octets[i]))
			return false;
	}
	e->ending = (enum flow_ending)ending;
	return bytes_u64(in, &e->duration_ns);
}

static bool write_body(struct writer *w, const struct event *event)
{
	switch (event->kind) {
	case EVENT_OPEN:
		return write_open(w, &event->open);
	case EVENT_UPSTREAM:
		write_address(w, &event->upstream.server);
		return address_valid(&event->upstream.server);
	case EVENT_HELLO:
		return write_hello(w, &event->hello);
	case EVENT_TLS:
		return write_tls(w, &event->tls);
	case EVENT_VERDICT:
		return write_verdict(w, &event->verdict);
	case EVENT_DATA:
		return write_data(w, &event->data);
	case EVENT_GAP:
		return write_gap(w, &event->gap);
	case EVENT_HALF:
		return write_enum(w, event->half.direction, 2);
	case EVENT_NOTICE:
		return write_notice(w, &event->notice);
	case EVENT_KEYLOG:
		write_text(w, event->keylog.line);
		return event->keylog.line.len <= EVENT_TEXT_MAX;
	case EVENT_CLOSE:
		return write_close(w, &event->close);
	}
	return false;
}

static bool read_body(struct bytes *in, struct event *event)
{
	switch (event->kind) {
	case EVENT_OPEN:
		return read_open(in, &event->open);
	case EVENT_UPSTREAM:
		return read_address(in, &event->upstream.server);
	case EVENT_HELLO:
		return read_hello(in, &event->hello);
	case EVENT_TLS:
		return read_tls(in, &event->tls);
	case EVENT_VERDICT:
		return read_verdict(in, &event->verdict);
	case EVENT_DATA:
		return read_data(in, &event->data);
	case EVENT_GAP:
		return read_gap(in, &event->gap);
	case EVENT_HALF:
		return read_direction(in, &event->half.direction);
	case EVENT_NOTICE:
		return read_notice(in, &event->notice);
	case EVENT_KEYLOG:
		return read_text(in, &event->keylog.line);
	case EVENT_CLOSE:
		return read_close(in, &event->close);
	}
	return false;
}

bool event_encode(const struct event *event, void *out, size_t cap, size_t *len)
{
	struct writer w = writer_over(out, cap);
	writer_u32(&w, 0);
	writer_u8(&w, EVENT_VERSION);
	writer_u8(&w, (uint8_t)event->kind);
	writer_u16(&w, 0);
	writer_u64(&w, event->flow);
	writer_u64(&w, event->time_ns);
	bool valid = write_body(&w, event);
	struct bytes whole;
	if (!valid || !writer_done(&w, &whole) || whole.len > EVENT_SIZE_MAX)
		return false;
	struct writer size = writer_over(out, sizeof(uint32_t));
	writer_u32(&size, (uint32_t)whole.len);
	*len = whole.len;
	return true;
}

struct header {
	uint32_t size;
	uint8_t version, kind;
	uint64_t flow, time_ns;
};

static enum event_result read_header(struct bytes *in, size_t size, struct header *h)
{
	uint16_t reserved;
	if (!bytes_u32(in, &h->size) || !bytes_u8(in, &h->version) || !bytes_u8(in, &h->kind) ||
		!bytes_u16(in, &reserved) || !bytes_u64(in, &h->flow) || !bytes_u64(in, &h->time_ns) ||
		h->size != size || size > EVENT_SIZE_MAX)
		return EVENT_BAD_HEADER;
	if (h->version != EVENT_VERSION)
		return EVENT_BAD_VERSION;
	return h->kind >= EVENT_OPEN && h->kind <= EVENT_CLOSE ? EVENT_OK : EVENT_BAD_KIND;
}

enum event_result event_decode(struct bytes in, struct event *out)
{
	struct header h;
	enum event_result result = read_header(&in, in.len, &h);
	if (result != EVENT_OK)
		return result;
	out->kind = (enum event_kind)h.kind;
	out->flow = h.flow;
	out->time_ns = h.time_ns;
	return read_body(&in, out) && in.len == 0 ? EVENT_OK : EVENT_BAD_BODY;
}

enum event_result event_peek(struct bytes in, size_t size, struct event_head *out)
{
	struct header h;
	enum event_result result = read_header(&in, size, &h);
	if (result != EVENT_OK)
		return result;
	*out = (struct event_head){.kind = (enum event_kind)h.kind, .flow = h.flow, .time_ns = h.time_ns};
	if (out->kind != EVENT_DATA)
		return EVENT_OK;
	if (!read_place(&in, &out->direction, &out->offset))
		return EVENT_BAD_BODY;
	out->octets = size - EVENT_DATA_AT;
	return EVENT_OK;
}
