#include "proxy/http_parts.h"

#include "base/text.h"

#include <stdio.h>

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
	http_put(w, "HTTP/1.1 ");
	http_put_number(w, reply->status);
	http_put(w, " ");
	http_put(w, http_status_text(reply->status));
	http_put(w, "\r\nContent-Type: ");
	http_put(w, reply->content_type ? reply->content_type : "text/plain; charset=utf-8");
	http_put(w, "\r\nContent-Length: ");
	http_put_number(w, body.len);
	http_put(w, "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
	if (reply->challenge_basic)
		http_put(w, "Proxy-Authenticate: Basic realm=\"Overt proxy\", charset=\"UTF-8\"\r\n");
	if (reply->challenge_bearer)
		http_put(w, "Proxy-Authenticate: Bearer realm=\"Overt proxy\"\r\n");
	http_put(w, reply->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
	if (!reply->head_only)
		writer_bytes(w, body);
}

struct bytes intake_http_established(void)
{
	return bytes_str("HTTP/1.1 200 Connection established\r\n\r\n");
}
