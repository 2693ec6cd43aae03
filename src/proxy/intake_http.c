#include "proxy/intake_http.h"

#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

/* Which first line a head has. */
enum head_kind { HEAD_REQUEST, HEAD_RESPONSE };

enum scan_result { SCAN_NEED_MORE, SCAN_DONE, SCAN_BAD, SCAN_TOO_LONG };

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

/* Octets of grammar (RFC 9110, 5.6.2). */
static bool is_token_octet(uint8_t c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (!is_token_octet(in.data[i]))
			return false;
	}
	return in.len > 0;
}

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct bytes trim(struct bytes in)
{
	while (in.len > 0 && is_blank(in.data[0]) && bytes_skip(&in, 1))
		;
	while (in.len > 0 && is_blank(in.data[in.len - 1]))
		in.len--;
	return in;
}

/* The octets before the next `mark`, which is taken too; all of them when there is none. */
static struct bytes take_until(struct bytes *in, uint8_t mark)
{
	struct bytes out = BYTES_NONE;
	if (bytes_take(in, bytes_find(*in, mark, 0), &out) && in->len > 0 && !bytes_skip(in, 1))
		return BYTES_NONE;
	return out;
}

/* `n` octets from `from` on, fewer when there are fewer. */
static struct bytes slice(struct bytes in, size_t from, size_t n)
{
	struct bytes out = BYTES_NONE;
	if (!bytes_skip(&in, from) || !bytes_take(&in, n, &out))
		return in;
	return out;
}

/* `HTTP/1.x`. Versions above 1.1 of major version 1 are read as 1.1 (RFC 9110, 2.5). */
static bool version_read(struct bytes in, bool *major_1, uint8_t *minor)
{
	if (in.len != 8 || !bytes_starts(in, bytes_str("HTTP/")) || in.data[6] != '.')
		return false;
	if (in.data[5] < '0' || in.data[5] > '9' || in.data[7] < '0' || in.data[7] > '9')
		return false;
	*major_1 = in.data[5] == '1';
	*minor = in.data[7] == '0' ? 0 : 1;
	return true;
}

/* A fault: the status to answer, in words. 0: none. */
struct fault {
	uint16_t status;
	const char *what;
};

static const struct fault no_fault = {0, NULL};

static struct fault request_line(struct bytes line, struct http_head *head)
{
	bool major_1;
	head->method = take_until(&line, ' ');
	head->uri = take_until(&line, ' ');
	if (!is_token(head->method) || head->uri.len == 0)
		return (struct fault){400, "the first line is not `METHOD target HTTP/1.1`"};
	for (size_t i = 0; i < head->uri.len; i++) {
		uint8_t c = head->uri.data[i];
		if (c <= 0x20 || c >= 0x7f || c == '#')
			return (struct fault){400, "the request target has an octet that no URI has"};
	}
	if (!version_read(line, &major_1, &head->minor))
		return (struct fault){400, "the first line does not end in ` HTTP/1.1`"};
	if (!major_1)
		return (struct fault){505, "the first line names an HTTP version other than 1.0 and 1.1"};
	return no_fault;
}

static struct fault status_line(struct bytes line, struct http_head *head)
{
	bool major_1;
	uint64_t status;
	struct bytes version = take_until(&line, ' ');
	struct bytes code = take_until(&line, ' ');
	if (!version_read(version, &major_1, &head->minor) || !major_1)
		return (struct fault){502, "the first line does not begin with `HTTP/1.1 `"};
	if (code.len != 3 || !text_number(code, 999, &status) || status < 100)
		return (struct fault){502, "the first line has no status of three digits"};
	head->status = (uint16_t)status;
	head->reason = line;
	return no_fault;
}

static struct fault first_line(enum head_kind kind, struct bytes line, struct http_head *head)
{
	return kind == HEAD_REQUEST ? request_line(line, head) : status_line(line, head);
}

/*
 * What one octet of a head may be, given the two before it (0 at the front): lines end in CRLF and nothing else, none
 * begins with a blank (obs-fold), no control characters. Recipients that disagree about these see different fields.
 */
static const char *octet_fault(uint8_t c, uint8_t before, bool line_start)
{
	if (before == '\r' && c != '\n')
		return "a CR stands without its LF";
	if (c == '\n' && before != '\r')
		return "a line ends in LF without CR";
	if (line_start && is_blank(c))
		return "a line begins with a blank (folded fields are not accepted)";
	if (is_control(c) && c != '\r' && c != '\n')
		return "there is a control character";
	return NULL;
}

/* Looks for the end of the head that begins at `start`, whose length from there goes to *len. */
static enum scan_result head_scan(
	enum head_kind kind, struct http_scan *scan, struct bytes in, size_t start, size_t *len, struct fault *fault)
{
	size_t end = in.len - start < HTTP_MAX_HEAD ? in.len : start + HTTP_MAX_HEAD;
	uint16_t status = kind == HEAD_REQUEST ? 400 : 502;
	if (scan->at < start)
		scan->at = start;
	for (; scan->at < end; scan->at++) {
		size_t i = scan->at;
		uint8_t before = i > start ? in.data[i - 1] : 0;
		*fault = (struct fault){status, octet_fault(in.data[i], before, before == '\n')};
		if (fault->what)
			return SCAN_BAD;
		if (in.data[i] != '\n')
			continue;
		if (!scan->begun) {
			struct http_head unused = {0};
			*fault = first_line(kind, slice(in, start, i - 1 - start), &unused);
			if (fault->what)
				return SCAN_BAD;
			scan->begun = true;
		} else if (in.data[i - 2] == '\n') {
			*len = i + 1 - start;
			return SCAN_DONE;
		}
	}
	return in.len - start < HTTP_MAX_HEAD ? SCAN_NEED_MORE : SCAN_TOO_LONG;
}

/* Reads the lines of a whole head, each known to end in CRLF. */
static struct fault head_lines(enum head_kind kind, struct bytes in, struct http_head *head)
{
	uint16_t status = kind == HEAD_REQUEST ? 400 : 502;
	for (bool first = true; in.len > 0; first = false) {
		struct bytes line = take_until(&in, '\n');
		line.len--;
		if (first) {
			struct fault fault = first_line(kind, line, head);
			if (fault.status)
				return fault;
			continue;
		}
		if (line.len == 0)
			break;
		if (head->count == HTTP_MAX_FIELDS)
			return (struct fault){kind == HEAD_REQUEST ? 431 : 502, "there are more than 128 fields"};
		struct http_field *field = &head->fields[head->count];
		size_t colon = bytes_find(line, ':', 0);
		if (colon == line.len)
			return (struct fault){status, "a line has no colon"};
		field->name = take_until(&line, ':');
		field->value = trim(line);
		if (!is_token(field->name))
			return (struct fault){
				status, "a field name is empty or has a blank or another octet no name has"};
		head->count++;
	}
	return no_fault;
}

static bool name_is(struct bytes name, const char *text)
{
	return bytes_equal_nocase(name, bytes_str(text));
}

struct bytes http_field(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->count; i++) {
		if (name_is(head->fields[i].name, name))
			return head->fields[i].value;
	}
	return BYTES_NONE;
}

static size_t field_count(const struct http_head *head, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < head->count; i++)
		n += name_is(head->fields[i].name, name);
	return n;
}

/* Whether a field that is a comma-separated list of tokens has this one, in any of its lines. */
static bool list_has(const struct http_head *head, const char *name, struct bytes token)
{
	for (size_t i = 0; i < head->count; i++) {
		if (!name_is(head->fields[i].name, name))
			continue;
		struct bytes rest = head->fields[i].value;
		while (rest.len > 0) {
			if (bytes_equal_nocase(trim(take_until(&rest, ',')), token))
				return true;
		}
	}
	return false;
}

/* Content-Length of one line or, in responses, of several that agree (RFC 9112, 6.3). */
static bool length_read(enum head_kind kind, struct http_head *head)
{
	for (size_t i = 0; i < head->count; i++) {
		uint64_t value;
		if (!name_is(head->fields[i].name, "Content-Length"))
			continue;
		if (!text_number(head->fields[i].value, INT64_MAX, &value))
			return false;
		if (head->has_length && (kind == HEAD_REQUEST || value != head->content_length))
			return false;
		head->has_length = true;
		head->content_length = value;
	}
	return true;
}

/* What the fields say of framing, and that they say it in one way only. */
static struct fault framing_read(enum head_kind kind, struct http_head *head)
{
	static const char *const vital[] = {"Host", "Content-Length", "Transfer-Encoding"};
	uint16_t status = kind == HEAD_REQUEST ? 400 : 502;
	size_t encodings = field_count(head, "Transfer-Encoding");
	if (!length_read(kind, head))
		return (struct fault){status, "Content-Length is no single decimal number"};
	if (encodings > 0 && head->has_length)
		return (struct fault){status, "there are both Content-Length and Transfer-Encoding"};
	if (encodings > 0 && head->minor == 0)
		return (struct fault){status, "there is Transfer-Encoding in HTTP/1.0"};
	if (encodings > 1)
		return (struct fault){status, "there is more than one Transfer-Encoding"};
	head->chunked = encodings > 0;
	if (head->chunked && !name_is(http_field(head, "Transfer-Encoding"), "chunked"))
		return (struct fault){
			kind == HEAD_REQUEST ? 501 : 502, "there is a Transfer-Encoding other than chunked"};
	/* Taken at its word, the next hop would be sent a message without what frames or routes it. */
	for (size_t i = 0; i < sizeof(vital) / sizeof(vital[0]); i++) {
		if (list_has(head, "Connection", bytes_str(vital[i])))
			return (struct fault){status, "Connection names a field that must not be removed"};
	}
	head->close = head->minor == 0 || list_has(head, "Connection", bytes_str("close")) ||
	              list_has(head, "Proxy-Connection", bytes_str("close"));
	return no_fault;
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
	struct bytes scheme = take_until(&rest, ':');
	struct bytes authority;
	if (name_is(scheme, "https"))
		return refuse(h, 400, "https is not fetched for clients: use CONNECT");
	if (!name_is(scheme, "http"))
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
	if (name_is(http_field(&h->head, "Max-Forwards"), "0") &&
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
		if (!name_is(head->fields[i].name, "Via"))
			continue;
		struct bytes rest = head->fields[i].value;
		while (rest.len > 0) {
			struct bytes member = trim(take_until(&rest, ','));
			if (take_until(&member, ' ').len > 0 && bytes_equal_nocase(take_until(&member, ' '), via))
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
	struct fault fault = no_fault;
	switch (head_scan(HEAD_REQUEST, &h->scan, in, start, &len, &fault)) {
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
	fault = head_lines(HEAD_REQUEST, slice(in, start, len), &h->head);
	if (!fault.status)
		fault = framing_read(HEAD_REQUEST, &h->head);
	size_t hosts = field_count(&h->head, "Host");
	if (!fault.status && (hosts > 1 || (hosts == 0 && h->head.minor == 1)))
		fault = (struct fault){400, hosts > 1 ? "there is more than one Host" : "there is no Host"};
	if (!fault.status && field_count(&h->head, "Proxy-Authorization") > 1)
		fault = (struct fault){400, "there is more than one Proxy-Authorization"};
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

/* Fields of one hop (RFC 9110, 7.6.1), and those that are written anew. */
static bool is_hop_field(const struct http_head *head, struct bytes name)
{
	static const char *const hop[] = {"Connection", "Proxy-Connection", "Keep-Alive", "TE", "Upgrade",
		"HTTP2-Settings", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Authentication-Info",
		"Content-Length", "Transfer-Encoding"};
	for (size_t i = 0; i < sizeof(hop) / sizeof(hop[0]); i++) {
		if (name_is(name, hop[i]))
			return true;
	}
	return list_has(head, "Connection", name);
}

static void put(struct writer *w, const char *text)
{
	writer_bytes(w, bytes_str(text));
}

static void put_number(struct writer *w, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	put(w, text);
}

static void put_field(struct writer *w, struct bytes name, struct bytes value)
{
	writer_bytes(w, name);
	put(w, ": ");
	writer_bytes(w, value);
	put(w, "\r\n");
}

static void put_basic(struct writer *w, struct bytes credentials)
{
	uint8_t text[4 * ((512 + 2) / 3) + 1];
	if (credentials.len > 512) {
		w->full = true;
		return;
	}
	int n = EVP_EncodeBlock(text, credentials.data, (int)credentials.len);
	put(w, "Proxy-Authorization: Basic ");
	writer_bytes(w, bytes_of(text, (size_t)n));
	put(w, "\r\n");
	OPENSSL_cleanse(text, sizeof(text));
}

static void put_via(struct writer *w, const struct http_head *head, struct bytes via)
{
	put(w, head->minor ? "Via: 1.1 " : "Via: 1.0 ");
	writer_bytes(w, via);
	put(w, "\r\n");
}

static void put_framing(struct writer *w, const struct http_head *head)
{
	if (head->chunked)
		put(w, "Transfer-Encoding: chunked\r\n");
	if (head->has_length) {
		put(w, "Content-Length: ");
		put_number(w, head->content_length);
		put(w, "\r\n");
	}
}

/* Host as the target says; the port of http is left out, as every client does. */
static void put_authority(struct writer *w, const struct target *target, bool port_always)
{
	char text[TARGET_TEXT_MAX];
	size_t n = target_print(target, text);
	if (!port_always && target->port == 80)
		n -= strlen(":80");
	writer_bytes(w, bytes_of(text, n));
}

static void put_target(struct writer *w, const struct intake_http *h, bool absolute)
{
	if (absolute) {
		put(w, "http://");
		put_authority(w, &h->target, false);
	} else if (h->path.len == 0 && bytes_equal(h->head.method, bytes_str("OPTIONS"))) {
		put(w, "*"); /* RFC 9112, 3.2.4 */
		return;
	}
	if (h->path.len > 0 && h->path.data[0] == '?')
		put(w, "/");
	/* In absolute-form an empty path of OPTIONS must stay empty: it is how the last proxy knows the `*`. */
	if (h->path.len == 0 && !(absolute && bytes_equal(h->head.method, bytes_str("OPTIONS"))))
		put(w, "/");
	writer_bytes(w, h->path);
}

void intake_http_forward(const struct intake_http *h, struct bytes via,
	const struct http_upstream_proxy *upstream_proxy, struct writer *w)
{
	const struct http_head *head = &h->head;
	writer_bytes(w, head->method);
	put(w, " ");
	put_target(w, h, upstream_proxy != NULL);
	put(w, head->minor ? " HTTP/1.1\r\nHost: " : " HTTP/1.0\r\nHost: ");
	put_authority(w, &h->target, false);
	put(w, "\r\n");
	if (upstream_proxy && upstream_proxy->credentials.len > 0)
		put_basic(w, upstream_proxy->credentials);
	for (size_t i = 0; i < head->count; i++) {
		struct bytes name = head->fields[i].name;
		struct bytes value = head->fields[i].value;
		uint64_t hops;
		if (name_is(name, "Host") || is_hop_field(head, name))
			continue;
		if (name_is(name, "Max-Forwards") && text_number(value, UINT32_MAX, &hops) && hops > 0) {
			put(w, "Max-Forwards: ");
			put_number(w, hops - 1);
			put(w, "\r\n");
			continue;
		}
		put_field(w, name, value);
	}
	put_framing(w, head);
	put_via(w, head, via);
	put(w, "Connection: close\r\n\r\n");
}

struct http_asked http_asked(const struct http_head *request)
{
	return (struct http_asked){
		.head = bytes_equal(request->method, bytes_str("HEAD")),
		.http10 = request->minor == 0,
		.close = request->close,
	};
}

static struct fault response_framing(const struct http_asked *asked, struct http_head *head)
{
	struct fault fault = framing_read(HEAD_RESPONSE, head);
	if (fault.status)
		return fault;
	if (head->status == 101)
		return (struct fault){502, "it switches protocols, which it was not asked to"};
	if (head->chunked && asked->http10)
		return (struct fault){502, "it is chunked, in answer to HTTP/1.0"};
	/* Neither may say anything of a body (RFC 9110, 8.6; RFC 9112, 6.1). */
	if (head->status < 200 || head->status == 204)
		head->has_length = head->chunked = false;
	if (asked->head || head->status < 200 || head->status == 204 || head->status == 304)
		head->framing = HTTP_NO_BODY;
	else if (head->chunked)
		head->framing = HTTP_CHUNKED;
	else if (head->has_length)
		head->framing = head->content_length > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
	else
		head->framing = HTTP_UNTIL_CLOSE;
	return no_fault;
}

enum http_response_result http_response_read(struct http_scan *scan, struct bytes in, const struct http_asked *asked,
	struct http_head *head, struct error *why)
{
	size_t len = 0;
	struct fault fault = no_fault;
	switch (head_scan(HEAD_RESPONSE, scan, in, 0, &len, &fault)) {
	case SCAN_NEED_MORE:
		return HTTP_RESPONSE_NEED_MORE;
	case SCAN_TOO_LONG:
		error_set(why, "HTTP response: the head is longer than 32 KiB");
		return HTTP_RESPONSE_BAD;
	case SCAN_BAD:
		error_set(why, "HTTP response: %s", fault.what);
		return HTTP_RESPONSE_BAD;
	case SCAN_DONE:
		break;
	}
	*head = (struct http_head){.len = len};
	fault = head_lines(HEAD_RESPONSE, slice(in, 0, len), head);
	if (!fault.status)
		fault = response_framing(asked, head);
	if (fault.status) {
		error_set(why, "HTTP response: %s", fault.what);
		return HTTP_RESPONSE_BAD;
	}
	return head->status < 200 ? HTTP_RESPONSE_INTERIM : HTTP_RESPONSE_FINAL;
}

bool http_response_forward(const struct http_head *head, const struct http_asked *asked, struct bytes via,
	bool must_close, struct writer *w)
{
	bool interim = head->status < 200;
	bool close = must_close || asked->close || head->framing == HTTP_UNTIL_CLOSE;
	if (interim && asked->http10)
		return false;
	put(w, "HTTP/1.1 ");
	put_number(w, head->status);
	put(w, " ");
	writer_bytes(w, head->reason);
	put(w, "\r\n");
	for (size_t i = 0; i < head->count; i++) {
		if (!is_hop_field(head, head->fields[i].name))
			put_field(w, head->fields[i].name, head->fields[i].value);
	}
	put_framing(w, head);
	put_via(w, head, via);
	if (close && !interim)
		put(w, "Connection: close\r\n");
	put(w, "\r\n");
	return close && !interim;
}

/* Chunked coding (RFC 9112, 7.1), octet by octet but for the data. Blanks before an extension are not accepted. */
enum chunk_stage {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* at the start of a line */
	CHUNK_TRAILER_NAME,
	CHUNK_TRAILER_VALUE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
};

void http_body_begin(struct http_body *body, const struct http_head *head)
{
	*body = (struct http_body){.framing = head->framing};
	if (head->framing == HTTP_LENGTH)
		body->left = head->content_length;
	body->done = head->framing == HTTP_NO_BODY;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *chunk_size(struct http_body *body, uint8_t c)
{
	int digit = hex_value(c);
	if (digit >= 0) {
		if (body->left >> 59 != 0 || body->digits == 16)
			return "a chunk's size is too large";
		body->left = body->left << 4 | (uint64_t)digit;
		body->digits++;
		return NULL;
	}
	if (body->digits == 0 || (c != ';' && c != '\r'))
		return "a chunk's size is no hexadecimal number";
	body->digits = 0;
	body->stage = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
	return NULL;
}

static const char *chunk_free_text(struct http_body *body, uint8_t c, uint8_t then)
{
	if (c == '\r')
		body->stage = then;
	else if (is_control(c))
		return "there is a control character or a bare LF between chunks";
	else if (++body->overhead > HTTP_MAX_TRAILER)
		return "its chunk extensions and trailer fields are longer than 8 KiB";
	return NULL;
}

static const char *chunk_expect(struct http_body *body, uint8_t c, uint8_t expected, uint8_t then)
{
	if (c != expected)
		return "a line or a chunk does not end in CRLF";
	body->stage = then;
	return NULL;
}

static const char *chunk_trailer(struct http_body *body, uint8_t c)
{
	if (body->stage == CHUNK_TRAILER && c == '\r') {
		body->stage = CHUNK_END_LF;
		return NULL;
	}
	bool name_ends = body->stage == CHUNK_TRAILER_NAME && c == ':';
	if (!name_ends && !is_token_octet(c))
		return "a trailer line is no field, or is folded";
	body->stage = name_ends ? CHUNK_TRAILER_VALUE : CHUNK_TRAILER_NAME;
	return ++body->overhead > HTTP_MAX_TRAILER ? "its chunk extensions and trailer fields are longer than 8 KiB"
	                                           : NULL;
}

static const char *chunk_octet(struct http_body *body, uint8_t c)
{
	const char *fault = NULL;
	switch ((enum chunk_stage)body->stage) {
	case CHUNK_SIZE:
		return chunk_size(body, c);
	case CHUNK_EXTENSION:
		return chunk_free_text(body, c, CHUNK_SIZE_LF);
	case CHUNK_SIZE_LF:
		return chunk_expect(body, c, '\n', body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER);
	case CHUNK_DATA:
		return NULL; /* passed over in one go by http_body_feed */
	case CHUNK_DATA_CR:
		return chunk_expect(body, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		return chunk_expect(body, c, '\n', CHUNK_SIZE);
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_NAME:
		return chunk_trailer(body, c);
	case CHUNK_TRAILER_VALUE:
		return chunk_free_text(body, c, CHUNK_TRAILER_LF);
	case CHUNK_TRAILER_LF:
		return chunk_expect(body, c, '\n', CHUNK_TRAILER);
	case CHUNK_END_LF:
		fault = chunk_expect(body, c, '\n', CHUNK_SIZE);
		body->done = fault == NULL;
		return fault;
	}
	return "its framing is lost";
}

/* Passes over octets of content, as many as there are. */
static void body_content(struct http_body *body, struct bytes *in)
{
	size_t n = in->len < body->left ? in->len : (size_t)body->left;
	if (!bytes_skip(in, n))
		return;
	body->left -= n;
	body->seen += n;
}

static enum http_body_result chunks_feed(struct http_body *body, struct bytes *in, struct error *why)
{
	while (in->len > 0 && !body->done) {
		uint8_t c;
		if (body->stage == CHUNK_DATA) {
			body_content(body, in);
			if (body->left == 0)
				body->stage = CHUNK_DATA_CR;
			continue;
		}
		const char *fault = bytes_u8(in, &c) ? chunk_octet(body, c) : NULL;
		if (fault) {
			body->broken = true;
			error_set(why, "chunked HTTP body: %s", fault);
			return HTTP_BODY_BAD;
		}
	}
	return body->done ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

enum http_body_result http_body_feed(struct http_body *body, struct bytes in, size_t *used, struct error *why)
{
	struct bytes rest = in;
	enum http_body_result result = HTTP_BODY_MORE;
	*used = 0;
	if (body->broken) {
		error_set(why, "chunked HTTP body: its framing is lost");
		return HTTP_BODY_BAD;
	}
	if (body->done)
		return HTTP_BODY_DONE;
	if (body->framing == HTTP_CHUNKED) {
		result = chunks_feed(body, &rest, why);
	} else if (body->framing == HTTP_UNTIL_CLOSE) {
		body->seen += in.len;
		rest = BYTES_NONE;
	} else {
		body_content(body, &rest);
		body->done = body->left == 0;
		result = body->done ? HTTP_BODY_DONE : HTTP_BODY_MORE;
	}
	*used = in.len - rest.len;
	return result;
}

bool http_body_may_end(const struct http_body *body)
{
	return body->done || (body->framing == HTTP_UNTIL_CLOSE && !body->broken);
}

#define MAX_CREDENTIALS 1024

static bool find_user(struct bytes secret, int scheme, const struct intake_users *users, size_t *which)
{
	bool found = false;
	for (size_t i = 0; i < users->count; i++) {
		bool same = bytes_equal_secret(users->list[i].secret, secret) && (int)users->list[i].scheme == scheme;
		if (same && !found)
			*which = i;
		found |= same;
	}
	return found;
}

/* EVP_DecodeBlock takes blanks at the ends and padding in odd places: only what RFC 4648, 4 allows reaches it. */
static bool base64_read(struct bytes in, uint8_t out[MAX_CREDENTIALS], size_t *len)
{
	size_t padding = 0;
	if (in.len == 0 || in.len % 4 != 0 || in.len / 4 * 3 > MAX_CREDENTIALS)
		return false;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];
		bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
		             c == '/';
		if (c == '=' && i + 2 >= in.len)
			padding++;
		else if (!digit || padding > 0)
			return false;
	}
	int n = EVP_DecodeBlock(out, in.data, (int)in.len);
	if (n < 0 || (size_t)n < padding)
		return false;
	*len = (size_t)n - padding;
	return true;
}

bool intake_auth_header(struct bytes value, const struct intake_users *users, size_t *which)
{
	struct bytes rest = value;
	struct bytes scheme = take_until(&rest, ' ');
	rest = trim(rest);
	if (name_is(scheme, "Bearer"))
		return rest.len > 0 && find_user(rest, INTAKE_USER_BEARER, users, which);
	if (!name_is(scheme, "Basic"))
		return false;
	uint8_t plain[MAX_CREDENTIALS];
	size_t len = 0;
	bool known = base64_read(rest, plain, &len) && find_user(bytes_of(plain, len), INTAKE_USER_BASIC, users, which);
	OPENSSL_cleanse(plain, sizeof(plain));
	return known;
}

bool intake_auth_password(struct bytes name, struct bytes password, const struct intake_users *users, size_t *which)
{
	uint8_t plain[MAX_CREDENTIALS];
	struct bytes secret;
	struct writer w = writer_over(plain, sizeof(plain));
	writer_bytes(&w, name);
	writer_u8(&w, ':');
	writer_bytes(&w, password);
	/* "a" with "b:c" and "a:b" with "c" would read the same. */
	bool known = bytes_find(name, ':', 0) == name.len && writer_done(&w, &secret) &&
	             find_user(secret, INTAKE_USER_BASIC, users, which);
	OPENSSL_cleanse(plain, sizeof(plain));
	return known;
}

const char *http_status_text(uint16_t status)
{
	static const struct {
		uint16_t status;
		const char *text;
	} texts[] = {
		{200, "OK"},
		{302, "Found"},
		{304, "Not Modified"},
		{400, "Bad Request"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{407, "Proxy Authentication Required"},
		{408, "Request Timeout"},
		{413, "Content Too Large"},
		{421, "Misdirected Request"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
		{508, "Loop Detected"},
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return status < 400 ? "OK" : "Error";
}

/* What stands in the body when the caller gives none. Returns its octets. */
static size_t reply_text(const struct http_reply *reply, char *out, size_t cap)
{
	char what[600] = "";
	char todo[300] = "";
	if (reply->what)
		text_clean(what, sizeof(what), bytes_str(reply->what));
	if (reply->todo)
		text_clean(todo, sizeof(todo), bytes_str(reply->todo));
	int n = snprintf(out, cap, "%u %s (said by the Overt proxy, not by the server)\n%s%s%s%s", reply->status,
		http_status_text(reply->status), what, what[0] ? "\n" : "", todo, todo[0] ? "\n" : "");
	return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

void intake_http_reply(const struct http_reply *reply, struct writer *w)
{
	char text[1200];
	struct bytes body = reply->content_type ? reply->body : bytes_of(text, reply_text(reply, text, sizeof(text)));
	put(w, "HTTP/1.1 ");
	put_number(w, reply->status);
	put(w, " ");
	put(w, http_status_text(reply->status));
	put(w, "\r\nContent-Type: ");
	put(w, reply->content_type ? reply->content_type : "text/plain; charset=utf-8");
	put(w, "\r\nContent-Length: ");
	put_number(w, body.len);
	put(w, "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
	if (reply->challenge_basic)
		put(w, "Proxy-Authenticate: Basic realm=\"Overt proxy\", charset=\"UTF-8\"\r\n");
	if (reply->challenge_bearer)
		put(w, "Proxy-Authenticate: Bearer realm=\"Overt proxy\"\r\n");
	put(w, reply->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
	if (!reply->head_only)
		writer_bytes(w, body);
}

struct bytes intake_http_established(void)
{
	return bytes_str("HTTP/1.1 200 Connection established\r\n\r\n");
}

void http_connect_write(const struct target *target, struct bytes credentials, struct writer *w)
{
	put(w, "CONNECT ");
	put_authority(w, target, true);
	put(w, " HTTP/1.1\r\nHost: ");
	put_authority(w, target, true);
	put(w, "\r\n");
	if (credentials.len > 0)
		put_basic(w, credentials);
	put(w, "\r\n");
}

static enum http_connect_result connect_fault(struct http_connect *c, const char *what)
{
	error_set(&c->why, "upstream proxy: the answer to CONNECT is no HTTP response: %s", what);
	return HTTP_CONNECT_BAD;
}

enum http_connect_result http_connect_read(struct http_connect *c, struct bytes in)
{
	for (;;) {
		size_t len = 0;
		struct fault fault = no_fault;
		enum scan_result result = head_scan(HEAD_RESPONSE, &c->scan, in, c->used, &len, &fault);
		if (result == SCAN_NEED_MORE)
			return HTTP_CONNECT_NEED_MORE;
		if (result != SCAN_DONE)
			return connect_fault(
				c, result == SCAN_TOO_LONG ? "its head is longer than 32 KiB" : fault.what);
		struct http_head head = {0};
		fault = head_lines(HEAD_RESPONSE, slice(in, c->used, len), &head);
		if (fault.status)
			return connect_fault(c, fault.what);
		c->used += len;
		c->status = head.status;
		/* Content-Length and Transfer-Encoding of a 2xx say nothing here (RFC 9110, 9.3.6). */
		if (head.status >= 200 && head.status < 300)
			return HTTP_CONNECT_OPEN;
		if (head.status >= 200 || head.status == 101) {
			char reason[100];
			text_clean(reason, sizeof(reason), head.reason);
			error_set(&c->why, "upstream proxy: it refused CONNECT with %u %s", head.status, reason);
			return HTTP_CONNECT_REFUSED;
		}
		c->scan = (struct http_scan){.at = c->used};
		if (c->used > HTTP_MAX_HEAD)
			return connect_fault(c, "there are too many interim replies");
	}
}
