#include "proxy/http_parts.h"

#include "base/text.h"

/* Octets of grammar (RFC 9110, 5.6.2). */
bool http_is_token_octet(uint8_t c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(struct bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (!http_is_token_octet(in.data[i]))
			return false;
	}
	return in.len > 0;
}

bool http_is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

bool http_is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

struct bytes http_trim(struct bytes in)
{
	while (in.len > 0 && http_is_blank(in.data[0]) && bytes_skip(&in, 1))
		;
	while (in.len > 0 && http_is_blank(in.data[in.len - 1]))
		in.len--;
	return in;
}

struct bytes http_take_until(struct bytes *in, uint8_t mark)
{
	struct bytes out = BYTES_NONE;
	if (bytes_take(in, bytes_find(*in, mark, 0), &out) && in->len > 0 && !bytes_skip(in, 1))
		return BYTES_NONE;
	return out;
}

struct bytes http_slice(struct bytes in, size_t from, size_t n)
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

static struct http_fault request_line(struct bytes line, struct http_head *head)
{
	bool major_1;
	head->method = http_take_until(&line, ' ');
	head->uri = http_take_until(&line, ' ');
	if (!http_is_token(head->method) || head->uri.len == 0)
		return (struct http_fault){400, "the first line is not `METHOD target HTTP/1.1`"};
	for (size_t i = 0; i < head->uri.len; i++) {
		uint8_t c = head->uri.data[i];
		if (c <= 0x20 || c >= 0x7f || c == '#')
			return (struct http_fault){400, "the request target has an octet that no URI has"};
	}
	if (!version_read(line, &major_1, &head->minor))
		return (struct http_fault){400, "the first line does not end in ` HTTP/1.1`"};
	if (!major_1)
		return (struct http_fault){505, "the first line names an HTTP version other than 1.0 and 1.1"};
	return HTTP_NO_FAULT;
}

static struct http_fault status_line(struct bytes line, struct http_head *head)
{
	bool major_1;
	uint64_t status;
	struct bytes version = http_take_until(&line, ' ');
	struct bytes code = http_take_until(&line, ' ');
	if (!version_read(version, &major_1, &head->minor) || !major_1)
		return (struct http_fault){502, "the first line does not begin with `HTTP/1.1 `"};
	if (code.len != 3 || !text_number(code, 999, &status) || status < 100)
		return (struct http_fault){502, "the first line has no status of three digits"};
	head->status = (uint16_t)status;
	head->reason = line;
	return HTTP_NO_FAULT;
}

static struct http_fault first_line(enum http_head_kind kind, struct bytes line, struct http_head *head)
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
	if (line_start && http_is_blank(c))
		return "a line begins with a blank (folded fields are not accepted)";
	if (http_is_control(c) && c != '\r' && c != '\n')
		return "there is a control character";
	return NULL;
}

enum http_scan_result http_head_scan(enum http_head_kind kind, struct http_scan *scan, struct bytes in, size_t start,
	size_t *len, struct http_fault *fault)
{
	size_t end = in.len - start < HTTP_MAX_HEAD ? in.len : start + HTTP_MAX_HEAD;
	uint16_t status = kind == HEAD_REQUEST ? 400 : 502;
	if (scan->at < start)
		scan->at = start;
	for (; scan->at < end; scan->at++) {
		size_t i = scan->at;
		uint8_t before = i > start ? in.data[i - 1] : 0;
		*fault = (struct http_fault){status, octet_fault(in.data[i], before, before == '\n')};
		if (fault->what)
			return SCAN_BAD;
		if (in.data[i] != '\n')
			continue;
		if (!scan->begun) {
			struct http_head unused = {0};
			*fault = first_line(kind, http_slice(in, start, i - 1 - start), &unused);
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

struct http_fault http_head_lines(enum http_head_kind kind, struct bytes in, struct http_head *head)
{
	uint16_t status = kind == HEAD_REQUEST ? 400 : 502;
	for (bool first = true; in.len > 0; first = false) {
		struct bytes line = http_take_until(&in, '\n');
		line.len--;
		if (first) {
			struct http_fault fault = first_line(kind, line, head);
			if (fault.status)
				return fault;
			continue;
		}
		if (line.len == 0)
			break;
		if (head->count == HTTP_MAX_FIELDS)
			return (struct http_fault){kind == HEAD_REQUEST ? 431 : 502, "there are more than 128 fields"};
		struct http_field *field = &head->fields[head->count];
		size_t colon = bytes_find(line, ':', 0);
		if (colon == line.len)
			return (struct http_fault){status, "a line has no colon"};
		field->name = http_take_until(&line, ':');
		field->value = http_trim(line);
		if (!http_is_token(field->name))
			return (struct http_fault){
				status, "a field name is empty or has a blank or another octet no name has"};
		head->count++;
	}
	return HTTP_NO_FAULT;
}

bool http_name_is(struct bytes name, const char *text)
{
	return bytes_equal_nocase(name, bytes_str(text));
}

struct bytes http_field(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->count; i++) {
		if (http_name_is(head->fields[i].name, name))
			return head->fields[i].value;
	}
	return BYTES_NONE;
}

size_t http_field_count(const struct http_head *head, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < head->count; i++)
		n += http_name_is(head->fields[i].name, name);
	return n;
}

bool http_tokens_have(struct bytes list, struct bytes token)
{
	while (list.len > 0) {
		if (bytes_equal_nocase(http_trim(http_take_until(&list, ',')), token))
			return true;
	}
	return false;
}

bool http_list_has(const struct http_head *head, const char *name, struct bytes token)
{
	for (size_t i = 0; i < head->count; i++) {
		if (!http_name_is(head->fields[i].name, name))
			continue;
		if (http_tokens_have(head->fields[i].value, token))
			return true;
	}
	return false;
}

/* Content-Length of one line or, in responses, of several that agree (RFC 9112, 6.3). */
static bool length_read(enum http_head_kind kind, struct http_head *head)
{
	for (size_t i = 0; i < head->count; i++) {
		uint64_t value;
		if (!http_name_is(head->fields[i].name, "Content-Length"))
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

struct http_fault http_framing_read(enum http_head_kind kind, struct http_head *head)
{
	static const char *const vital[] = {"Host", "Content-Length", "Transfer-Encoding"};
	uint16_t status = kind == HEAD_REQUEST ? 400 : 502;
	size_t encodings = http_field_count(head, "Transfer-Encoding");
	if (!length_read(kind, head))
		return (struct http_fault){status, "Content-Length is no single decimal number"};
	if (encodings > 0 && head->has_length)
		return (struct http_fault){status, "there are both Content-Length and Transfer-Encoding"};
	if (encodings > 0 && head->minor == 0)
		return (struct http_fault){status, "there is Transfer-Encoding in HTTP/1.0"};
	if (encodings > 1)
		return (struct http_fault){status, "there is more than one Transfer-Encoding"};
	head->chunked = encodings > 0;
	if (head->chunked && !http_name_is(http_field(head, "Transfer-Encoding"), "chunked"))
		return (struct http_fault){
			kind == HEAD_REQUEST ? 501 : 502, "there is a Transfer-Encoding other than chunked"};
	/* Taken at its word, the next hop would be sent a message without what frames or routes it. */
	for (size_t i = 0; i < sizeof(vital) / sizeof(vital[0]); i++) {
		if (http_list_has(head, "Connection", bytes_str(vital[i])))
			return (struct http_fault){status, "Connection names a field that must not be removed"};
	}
	head->close = head->minor == 0 || http_list_has(head, "Connection", bytes_str("close")) ||
	              http_list_has(head, "Proxy-Connection", bytes_str("close"));
	return HTTP_NO_FAULT;
}
