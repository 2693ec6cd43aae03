#include "decode/http1_head.h"

#include <llhttp.h>

/*
 * llhttp parses whole heads here, on the stack, and stops where the body begins: so a connection between two messages
 * holds no parser at all, and views of headers are never in pieces.
 */
struct parse {
	struct http1_head *out;
	size_t max;
	struct bytes name, value;
	bool in_value;
	bool complete;
	const char *bad;
};

bool http1_token_octet(uint8_t c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return true;
	return c > ' ' && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (!http1_token_octet(in.data[i]))
			return false;
	}
	return in.len > 0;
}

bool http1_begins_request(struct bytes in)
{
	struct bytes line;
	struct bytes method;
	struct bytes rest;
	if (!bytes_take(&in, bytes_find(in, '\n', 0), &line) || in.len == 0)
		return false;
	rest = line;
	if (!bytes_take(&rest, bytes_find(rest, ' ', 0), &method) || !is_token(method) || rest.len < 12)
		return false;
	struct bytes version = bytes_of(rest.data + rest.len - 10, 10);
	return bytes_equal(version, bytes_str(" HTTP/1.1\r")) || bytes_equal(version, bytes_str(" HTTP/1.0\r"));
}

bool http1_begins_response(struct bytes in)
{
	return bytes_starts(in, bytes_str("HTTP/1.")) && bytes_find(in, '\n', 0) < in.len;
}

size_t http1_head_end(struct bytes in, size_t from)
{
	size_t at = bytes_find(in, '\n', from);
	while (at < in.len) {
		size_t next = bytes_find(in, '\n', at + 1);
		if (next < in.len && (next == at + 1 || (next == at + 2 && in.data[at + 1] == '\r')))
			return next + 1;
		at = next;
	}
	return 0;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct bytes trimmed(struct bytes in)
{
	while (in.len > 0 && is_blank(in.data[in.len - 1]))
		in.len--;
	return in;
}

static int refuse(llhttp_t *parser, const char *why)
{
	struct parse *parse = parser->data;
	if (!parse->bad)
		parse->bad = why;
	llhttp_set_error_reason(parser, why);
	return HPE_USER;
}

static int on_target(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *parse = parser->data;
	if (parse->out->target.len > 0)
		return refuse(parser, "the request-target is in pieces");
	parse->out->target = bytes_of(at, len);
	return HPE_OK;
}

static int on_reason(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *parse = parser->data;
	parse->out->reason = bytes_of(at, len);
	return HPE_OK;
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *parse = parser->data;
	parse->name = bytes_of(at, len);
	parse->value = BYTES_NONE;
	parse->in_value = false;
	return is_token(parse->name) ? HPE_OK : refuse(parser, "a header name is no token");
}

/* Headers that say where the body ends or for whom the request is: whoever reads those wrongly is led astray. */
static bool may_not_fold(struct bytes name)
{
	return bytes_equal_nocase(name, bytes_str("content-length")) || bytes_equal_nocase(name, bytes_str("host")) ||
	       bytes_equal_nocase(name, bytes_str("transfer-encoding"));
}

static bool same_line(struct bytes name, struct bytes value)
{
	struct bytes both = bytes_of(name.data, (size_t)(value.data - name.data));
	return bytes_find(both, '\n', name.len) == both.len;
}

/* Comes again for each further line of a folded value (RFC 9112, 5.2), which is then given out as sent, fold and all. */
static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *parse = parser->data;
	struct bytes part = bytes_of(at, len);
	if (may_not_fold(parse->name) && (parse->in_value || !same_line(parse->name, part)))
		return refuse(parser, "Host, Content-Length or Transfer-Encoding is folded");
	if (parse->value.len > 0)
		parse->value.len = (size_t)(part.data - parse->value.data) + part.len;
	else
		parse->value = part;
	parse->in_value = true;
	return HPE_OK;
}

static int on_header(llhttp_t *parser)
{
	struct parse *parse = parser->data;
	struct http1_head *out = parse->out;
	if (out->header_count < parse->max)
		out->headers[out->header_count++] = (struct message_header){parse->name, trimmed(parse->value)};
	else
		out->headers_cut = true;
	return HPE_OK;
}

static int on_complete(llhttp_t *parser)
{
	struct parse *parse = parser->data;
	parse->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_target,
	.on_status = on_reason,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_header_value_complete = on_header,
	.on_headers_complete = on_complete,
};

/* Readers differ on what a CR or LF alone means: lines end in CR LF here and hold neither. */
static bool lines_well(struct bytes in, bool *folded)
{
	*folded = false;
	for (size_t at = 0; at < in.len;) {
		size_t end = bytes_find(in, '\n', at);
		if (bytes_find(in, '\r', at) + 1 != end)
			return false;
		*folded |= at > 0 && is_blank(in.data[at]);
		at = end + 1;
	}
	return true;
}

/* What llhttp would check of header lines if folding were not asked for. */
static const char *header_lines(struct bytes in)
{
	struct bytes line;
	struct bytes name;
	bool first = true;
	if (!bytes_skip(&in, bytes_find(in, '\n', 0) + 1))
		return NULL;
	while (bytes_take(&in, bytes_find(in, '\r', 0), &line) && line.len > 0 && bytes_skip(&in, 2)) {
		for (size_t i = 0; i < line.len; i++) {
			if ((line.data[i] < ' ' && line.data[i] != '\t') || line.data[i] == 0x7f)
				return "a control character in a header";
		}
		if (is_blank(line.data[0])) {
			if (first)
				return "the start line is folded";
		} else if (!bytes_take(&line, bytes_find(line, ':', 0), &name) || !is_token(name) || line.len == 0) {
			return "a header name is no token";
		}
		first = false;
	}
	return NULL;
}

static bool version_of(const llhttp_t *parser, enum message_version *out)
{
	*out = parser->http_minor == 0 ? MESSAGE_HTTP_1_0 : MESSAGE_HTTP_1_1;
	return parser->http_major == 1 && parser->http_minor <= 1;
}

/* What the headers say of the body. */
static const char *frame(const llhttp_t *parser, bool request, struct http1_head *out)
{
	out->upgrade = (parser->flags & F_UPGRADE) && (parser->flags & F_CONNECTION_UPGRADE);
	out->said_length = parser->flags & F_CONTENT_LENGTH;
	out->length = out->said_length ? parser->content_length : 0;
	if (!(parser->flags & F_TRANSFER_ENCODING)) {
		out->framing = request || out->said_length ? HTTP1_LENGTH : HTTP1_CLOSE;
		return NULL;
	}
	if (out->version == MESSAGE_HTTP_1_0)
		return "Transfer-Encoding in HTTP/1.0";
	if (out->said_length)
		return "Transfer-Encoding and Content-Length together";
	if (request && !(parser->flags & F_CHUNKED))
		return "the Transfer-Encoding of a request does not end in chunked";
	out->framing = parser->flags & F_CHUNKED ? HTTP1_CHUNKED : HTTP1_CLOSE;
	return NULL;
}

/* Parses `in`, to which `begin` is put in front. */
static const char *run(struct bytes begin, struct bytes in, bool folded, size_t max, struct http1_head *out)
{
	struct parse parse = {.out = out, .max = max < HTTP1_HEADERS_MAX ? max : HTTP1_HEADERS_MAX};
	llhttp_t parser;
	llhttp_init(&parser, begin.len > 0 ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	parser.data = &parse;
	if (folded) {
		/* llhttp 9 reads a folded value only without its checks of header lines; llhttp 8 did with them. */
		const char *bad = header_lines(in);
		if (bad)
			return bad;
		llhttp_set_lenient_headers(&parser, 1);
	}
	llhttp_errno_t result = HPE_OK;
	if (begin.len > 0)
		result = llhttp_execute(&parser, (const char *)begin.data, begin.len);
	if (result == HPE_OK)
		result = llhttp_execute(&parser, (const char *)in.data, in.len);
	if (result != HPE_PAUSED || !parse.complete)
		return parse.bad          ? parse.bad
		       : result == HPE_OK ? "the head has no end"
		                          : llhttp_get_error_reason(&parser);
	if (llhttp_get_error_pos(&parser) != (const char *)in.data + in.len)
		return "the head ends where it should not";
	if (!version_of(&parser, &out->version))
		return "neither HTTP/1.0 nor HTTP/1.1";
	if (begin.len == 0)
		out->status = parser.status_code;
	return frame(&parser, begin.len > 0, out);
}

static void begin(struct http1_head *out)
{
	/* Not the headers: clearing them would cost more than parsing a short head. */
	memset(out, 0, offsetof(struct http1_head, headers));
}

const char *http1_head_request(struct bytes in, size_t max, struct http1_head *out)
{
	bool folded;
	begin(out);
	if (!lines_well(in, &folded))
		return "a CR or LF alone";
	struct bytes method;
	if (!http1_begins_request(in) || !bytes_take(&in, bytes_find(in, ' ', 0), &method))
		return "no request line of HTTP/1.0 or HTTP/1.1";
	/* llhttp knows a closed list of methods, HTTP does not: any other parses as GET, which it differs from in nothing. */
	bool connect = bytes_equal(method, bytes_str("CONNECT"));
	const char *bad = run(bytes_str(connect ? "CONNECT" : "GET"), in, folded, max, out);
	for (size_t i = 0; !bad && i < out->target.len; i++) {
		if (out->target.data[i] <= ' ' || out->target.data[i] == 0x7f)
			bad = "a control character in the request-target";
	}
	out->method = method;
	return bad;
}

const char *http1_head_response(struct bytes in, size_t max, struct http1_head *out)
{
	bool folded;
	begin(out);
	if (!lines_well(in, &folded))
		return "a CR or LF alone";
	if (!http1_begins_response(in))
		return "no status line of HTTP/1.0 or HTTP/1.1";
	const char *bad = run(BYTES_NONE, in, folded, max, out);
	if (bad)
		return bad;
	for (size_t i = 0; i < out->reason.len; i++) {
		if ((out->reason.data[i] < ' ' && out->reason.data[i] != '\t') || out->reason.data[i] == 0x7f)
			return "a control character in the reason";
	}
	return out->status >= 100 && out->status <= 999 ? NULL : "the status is not of three digits";
}

static struct bytes host_of(const struct http1_head *head)
{
	struct bytes host;
	return message_header_find(head->headers, head->header_count, "host", &host) ? host : BYTES_NONE;
}

struct http1_target http1_target_of(const struct http1_head *head)
{
	struct bytes rest = head->target;
	if (bytes_equal(head->method, bytes_str("CONNECT")))
		return (struct http1_target){.authority = rest};
	struct http1_target out = {.authority = host_of(head), .path = rest};
	struct bytes scheme;
	if (rest.len == 0 || rest.data[0] == '/' || !bytes_take(&rest, bytes_find(rest, ':', 0), &scheme) ||
		!bytes_starts(rest, bytes_str("://")) || !bytes_skip(&rest, 3))
		return out;
	size_t end = 0;
	while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
		end++;
	out.scheme = scheme;
	if (bytes_take(&rest, end, &out.authority))
		out.path = rest.len > 0 ? rest : bytes_str("/");
	return out;
}
