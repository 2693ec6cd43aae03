#include "proxy/http_parts.h"

#include "base/text.h"

struct http_asked http_asked(const struct http_head *request)
{
	struct http_asked asked = {
		.head = bytes_equal(request->method, bytes_str("HEAD")),
		.http10 = request->minor == 0,
		.close = request->close,
	};
	struct bytes upgrade = http_upgrade_of(request);
	if (upgrade.len > 0)
		memcpy(asked.upgrade, upgrade.data, upgrade.len);
	return asked;
}

/* One protocol of those that were offered, and said in due form. */
static bool switches_as_asked(const struct http_asked *asked, const struct http_head *head)
{
	struct bytes to = http_field(head, "Upgrade");
	return to.len > 0 && http_field_count(head, "Upgrade") == 1 &&
	       http_tokens_have(bytes_str(asked->upgrade), to) &&
	       http_list_has(head, "Connection", bytes_str("upgrade"));
}

static struct http_fault response_framing(const struct http_asked *asked, struct http_head *head)
{
	struct http_fault fault = http_framing_read(HEAD_RESPONSE, head);
	if (fault.status)
		return fault;
	if (head->status == 101 && !switches_as_asked(asked, head))
		return (struct http_fault){502, "it switches protocols, which it was not asked to"};
	if (head->chunked && asked->http10)
		return (struct http_fault){502, "it is chunked, in answer to HTTP/1.0"};
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
	return HTTP_NO_FAULT;
}

enum http_response_result http_response_read(struct http_scan *scan, struct bytes in, const struct http_asked *asked,
	struct http_head *head, struct error *why)
{
	size_t len = 0;
	struct http_fault fault = HTTP_NO_FAULT;
	switch (http_head_scan(HEAD_RESPONSE, scan, in, 0, &len, &fault)) {
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
	fault = http_head_lines(HEAD_RESPONSE, http_slice(in, 0, len), head);
	if (!fault.status)
		fault = response_framing(asked, head);
	if (fault.status) {
		error_set(why, "HTTP response: %s", fault.what);
		return HTTP_RESPONSE_BAD;
	}
	if (head->status == 101)
		return HTTP_RESPONSE_SWITCHES;
	return head->status < 200 ? HTTP_RESPONSE_INTERIM : HTTP_RESPONSE_FINAL;
}

bool http_response_forward(const struct http_head *head, const struct http_asked *asked, struct bytes via,
	bool must_close, struct writer *w)
{
	bool interim = head->status < 200;
	bool close = must_close || asked->close || head->framing == HTTP_UNTIL_CLOSE;
	if (interim && asked->http10)
		return false;
	http_put(w, "HTTP/1.1 ");
	http_put_number(w, head->status);
	http_put(w, " ");
	writer_bytes(w, head->reason);
	http_put(w, "\r\n");
	for (size_t i = 0; i < head->count; i++) {
		if (!http_is_hop_field(head, head->fields[i].name))
			http_put_field(w, head->fields[i].name, head->fields[i].value);
	}
	http_put_framing(w, head);
	http_put_via(w, head, via);
	if (close && !interim)
		http_put(w, "Connection: close\r\n");
	if (head->status == 101) {
		http_put_field(w, bytes_str("Upgrade"), http_field(head, "Upgrade"));
		http_put(w, "Connection: upgrade\r\n");
	}
	http_put(w, "\r\n");
	return close && !interim;
}

void http_connect_write(const struct target *target, struct bytes credentials, struct writer *w)
{
	http_put(w, "CONNECT ");
	http_put_authority(w, target, true);
	http_put(w, " HTTP/1.1\r\nHost: ");
	http_put_authority(w, target, true);
	http_put(w, "\r\n");
	if (credentials.len > 0)
		http_put_basic(w, credentials);
	http_put(w, "\r\n");
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
		struct http_fault fault = HTTP_NO_FAULT;
		enum http_scan_result result = http_head_scan(HEAD_RESPONSE, &c->scan, in, c->used, &len, &fault);
		if (result == SCAN_NEED_MORE)
			return HTTP_CONNECT_NEED_MORE;
		if (result != SCAN_DONE)
			return connect_fault(
				c, result == SCAN_TOO_LONG ? "its head is longer than 32 KiB" : fault.what);
		struct http_head head = {0};
		fault = http_head_lines(HEAD_RESPONSE, http_slice(in, c->used, len), &head);
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
