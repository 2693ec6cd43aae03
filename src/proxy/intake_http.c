#include "proxy/intake_http.h"

#include "base/text.h"
#include "proxy/http_parts.h"

enum intake_protocol intake_protocol(struct bytes in)
{
	static const uint8_t v2[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
	struct bytes proxy_v1 = bytes_str("PROXY ");
	struct bytes proxy_v2 = bytes_of(v2, sizeof(v2));
	if (in.len == 0)
		return SPEAKS_NEED_MORE;
	if (bytes_starts(in, proxy_v1))
		return SPEAKS_PROXY_V1;
	if (bytes_starts(in, proxy_v2))
		return SPEAKS_PROXY_V2;
	uint8_t first = in.data[0];
	/* "P" may become PROXY or POST; an empty line may become a signature, or stand before a request. */
	if (bytes_starts(proxy_v1, in) || bytes_starts(proxy_v2, in))
		return SPEAKS_NEED_MORE;
	if ((first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z') || first == '\r')
		return SPEAKS_HTTP;
	return first == 5 ? SPEAKS_SOCKS5 : first == 4 ? SPEAKS_SOCKS4 : first == 0x16 ? SPEAKS_TLS : SPEAKS_UNKNOWN;
}

static enum intake_http_result refuse(struct intake_http *h, uint16_t status, const char *what)
{
	h->status = status;
	error_set(&h->why, "HTTP request: %s", what);
	return status == 431 ? INTAKE_HTTP_TOO_LONG : INTAKE_HTTP_BAD;
}

static enum intake_http_result refuse_target(struct intake_http *h, struct bytes text, enum target_result result)
{
	char clean[300];
	text_clean(clean, sizeof(clean), text);
	h->status = 400;
	error_set(&h->why, "HTTP request: the target \"%s\" %s", clean, target_result_text(result));
	return INTAKE_HTTP_BAD;
}

static enum intake_http_result read_connect(struct intake_http *h)
{
	enum target_result result = target_parse(h->head.uri, 0, &h->target);
	if (result != TARGET_OK)
		return refuse_target(h, h->head.uri, result);
	/* What follows the head is the tunnel (RFC 9110, 9.3.6): a body there would be read in two ways. */
	if (h->head.chunked || (h->head.has_length && h->head.content_length > 0))
		return refuse(h, 400, "CONNECT comes with a body");
	h->head.framing = HTTP_NO_BODY;
	return INTAKE_HTTP_CONNECT;
}

static enum intake_http_result read_absolute(struct intake_http *h)
{
	struct bytes rest = h->head.uri;
	struct bytes scheme = http_take_until(&rest, ':');
	struct bytes authority;
	if (http_name_is(scheme, "https"))
		return refuse(h, 400, "https is not fetched for clients: use CONNECT");
	if (!http_name_is(scheme, "http"))
		return refuse(h, 501, "the target's scheme is not http");
	if (!bytes_starts(rest, bytes_str("//")) || !bytes_skip(&rest, 2))
		return refuse(h, 400, "the target has no `//` behind its scheme");
	size_t end = 0;
	while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
		end++;
	if (!bytes_take(&rest, end, &authority))
		return refuse(h, 400, "the target has no host");
	enum target_result result = target_parse(authority, 80, &h->target);
	if (result != TARGET_OK)
		return refuse_target(h, authority, result);
	h->path = rest;
	/* RFC 9110, 7.6.2: who counts hops down to zero wants the proxy's own answer, and this proxy has none. */
	if (http_name_is(http_field(&h->head, "Max-Forwards"), "0") &&
		(bytes_equal(h->head.method, bytes_str("OPTIONS")) || bytes_equal(h->head.method, bytes_str("TRACE"))))
		return refuse(h, 501, "Max-Forwards is 0, and this proxy does not answer for others");
	return INTAKE_HTTP_ABSOLUTE;
}

static enum intake_http_result read_origin(struct intake_http *h)
{
	struct bytes host = http_field(&h->head, "Host");
	h->path = h->head.uri;
	if (host.len == 0)
		return INTAKE_HTTP_ORIGIN;
	enum target_result result = target_parse(host, 80, &h->target);
	return result == TARGET_OK ? INTAKE_HTTP_ORIGIN : refuse_target(h, host, result);
}

/* Via's members are `protocol received-by comment`; the second word is compared. */
static bool via_has(const struct http_head *head, struct bytes via)
{
	for (size_t i = 0; i < head->count; i++) {
		if (!http_name_is(head->fields[i].name, "Via"))
			continue;
		struct bytes rest = head->fields[i].value;
		while (rest.len > 0) {
			struct bytes member = http_trim(http_take_until(&rest, ','));
			if (http_take_until(&member, ' ').len > 0 &&
				bytes_equal_nocase(http_take_until(&member, ' '), via))
				return true;
		}
	}
	return false;
}

/* Empty lines before a request are passed over (RFC 9112, 2.2): two, since no sender means more. */
static size_t empty_lines(struct bytes in)
{
	size_t start = 0;
	while (start < 4 && in.len >= start + 2 && in.data[start] == '\r' && in.data[start + 1] == '\n')
		start += 2;
	return start;
}

enum intake_http_result intake_http_read(struct intake_http *h, struct bytes in, struct bytes via)
{
	size_t start = empty_lines(in);
	size_t len = 0;
	struct http_fault fault = HTTP_NO_FAULT;
	switch (http_head_scan(HEAD_REQUEST, &h->scan, in, start, &len, &fault)) {
	case SCAN_NEED_MORE:
		return INTAKE_HTTP_NEED_MORE;
	case SCAN_TOO_LONG:
		return refuse(h, 431, "the head is longer than 32 KiB");
	case SCAN_BAD:
		return refuse(h, fault.status, fault.what);
	case SCAN_DONE:
		break;
	}
	h->head = (struct http_head){.len = start + len};
	fault = http_head_lines(HEAD_REQUEST, http_slice(in, start, len), &h->head);
	if (!fault.status)
		fault = http_framing_read(HEAD_REQUEST, &h->head);
	size_t hosts = http_field_count(&h->head, "Host");
	if (!fault.status && (hosts > 1 || (hosts == 0 && h->head.minor == 1)))
		fault = (struct http_fault){400, hosts > 1 ? "there is more than one Host" : "there is no Host"};
	if (!fault.status && http_field_count(&h->head, "Proxy-Authorization") > 1)
		fault = (struct http_fault){400, "there is more than one Proxy-Authorization"};
	if (fault.status)
		return refuse(h, fault.status, fault.what);
	h->head.framing = h->head.chunked                                ? HTTP_CHUNKED
	                  : h->head.has_length && h->head.content_length ? HTTP_LENGTH
	                                                                 : HTTP_NO_BODY;
	h->proxy_authorization = http_field(&h->head, "Proxy-Authorization");
	h->looped = via_has(&h->head, via);
	if (bytes_equal(h->head.method, bytes_str("CONNECT")))
		return read_connect(h);
	if (h->head.uri.data[0] == '/' || bytes_equal(h->head.uri, bytes_str("*")))
		return read_origin(h);
	return read_absolute(h);
}
